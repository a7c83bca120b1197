-- One row per impression of @date: whether it was clicked within 24 hours, and what was known before it was served.
-- Trailing rates are of the seven days before @date, drawn towards the overall rate as if more impressions had been
-- seen at that rate: 200 for a campaign, creative or placement, 250 for a user, about as many as it takes to tell two
-- of them apart. A weaker pull would make the same rate mean less in a week of short history. Before there is any
-- history they are null.
-- reads: impression [0, 0], click [0, +1], campaign_daily [-7, -1], creative_daily [-7, -1],
--        placement_daily [-7, -1], user_daily [-7, -1]
-- key: impression_id
WITH shown AS (
  -- A logger that sends again may stamp the same impression twice, in two hours.
  SELECT
    impression_id,
    MIN(served_at) AS served_at
  FROM impression
  GROUP BY impression_id
),

clicked_impression AS (
  SELECT
    impression_id,
    MIN(clicked_at) AS first_clicked_at
  FROM click
  GROUP BY impression_id
),

overall AS (
  SELECT SAFE_DIVIDE(SUM(clicks), SUM(impressions)) AS click_rate
  FROM creative_daily
),

campaign AS (
  SELECT
    campaign_id,
    SUM(impressions) AS impressions,
    SUM(clicks) AS clicks
  FROM campaign_daily
  GROUP BY campaign_id
),

creative AS (
  SELECT
    creative_id,
    SUM(impressions) AS impressions,
    SUM(clicks) AS clicks
  FROM creative_daily
  GROUP BY creative_id
),

placement AS (
  SELECT
    placement_id,
    SUM(impressions) AS impressions,
    SUM(clicks) AS clicks
  FROM placement_daily
  GROUP BY placement_id
),

audience AS (
  SELECT
    user_id,
    SUM(impressions) AS impressions,
    SUM(IF(date = DATE_SUB(@date, INTERVAL 1 DAY), impressions, 0)) AS impressions_of_yesterday,
    SUM(clicks) AS clicks
  FROM user_daily
  GROUP BY user_id
)

SELECT
  impression.impression_id,
  impression.served_at,
  COALESCE(
    clicked_impression.first_clicked_at < TIMESTAMP_ADD(impression.served_at, INTERVAL 24 HOUR),
    FALSE
  ) AS clicked,
  EXTRACT(HOUR FROM impression.served_at) AS hour_of_day,
  EXTRACT(DAYOFWEEK FROM impression.served_at) AS day_of_week,
  impression.placement_width * impression.placement_height AS slot_area,
  impression.bid_floor_micros AS floor_micros,
  impression.placement_position AS position,
  COALESCE(ARRAY_LENGTH(impression.segments), 0) AS segment_count,
  FARM_FINGERPRINT(impression.exchange) & 63 AS exchange_code,
  FARM_FINGERPRINT(impression.region) & 63 AS region_code,
  FARM_FINGERPRINT(impression.user_agent) & 63 AS device_code,
  FARM_FINGERPRINT(
    CONCAT(impression.campaign_id, '|', CAST(EXTRACT(HOUR FROM impression.served_at) AS STRING))
  ) & 255 AS campaign_hour_code,
  FARM_FINGERPRINT(CONCAT(impression.creative_id, '|', impression.placement_id)) & 255 AS creative_placement_code,
  FARM_FINGERPRINT(CONCAT(impression.segments[SAFE_OFFSET(0)], '|', impression.creative_id)) & 255
    AS segment_creative_code,
  (COALESCE(campaign.clicks, 0) + 200 * overall.click_rate) / (COALESCE(campaign.impressions, 0) + 200)
    AS campaign_click_rate_7d,
  (COALESCE(creative.clicks, 0) + 200 * overall.click_rate) / (COALESCE(creative.impressions, 0) + 200)
    AS creative_click_rate_7d,
  (COALESCE(placement.clicks, 0) + 200 * overall.click_rate) / (COALESCE(placement.impressions, 0) + 200)
    AS placement_click_rate_7d,
  (COALESCE(audience.clicks, 0) + 250 * overall.click_rate) / (COALESCE(audience.impressions, 0) + 250)
    AS user_click_rate_7d,
  COALESCE(audience.impressions_of_yesterday, 0) AS user_impressions_1d
FROM impression
INNER JOIN shown
  ON impression.impression_id = shown.impression_id AND impression.served_at = shown.served_at
CROSS JOIN overall
LEFT JOIN clicked_impression
  ON impression.impression_id = clicked_impression.impression_id
LEFT JOIN campaign
  ON impression.campaign_id = campaign.campaign_id
LEFT JOIN creative
  ON impression.creative_id = creative.creative_id
LEFT JOIN placement
  ON impression.placement_id = placement.placement_id
LEFT JOIN audience
  ON impression.user_id = audience.user_id
