-- One row per impression of @date: whether it was clicked within 24 hours, and what was known before it was served.
-- What is known of users, ads and places comes from days before @date: a bidder looks it up where this query does, and
-- who is unknown there has the rate of all. Before there is any history rates are null.
-- reads: impression [0, 0], click [0, +1], overall_click_rate [0, 0], campaign_click_rate [0, 0],
--        creative_click_rate [0, 0], placement_click_rate [0, 0], site_click_rate [0, 0], user_click_rate [0, 0],
--        segment_click_lift [0, 0]
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

audience AS (
  -- What the segments of the user are to the advertiser, taken together.
  SELECT
    impression.impression_id,
    impression.served_at,
    SUM(segment_click_lift.log_lift) AS log_lift,
    MAX(segment_click_lift.log_lift) AS highest_log_lift
  FROM impression
  CROSS JOIN UNNEST(impression.segments) AS tag
  INNER JOIN segment_click_lift
    ON impression.advertiser_id = segment_click_lift.advertiser_id AND tag = segment_click_lift.segment
  GROUP BY impression.impression_id, impression.served_at
)

SELECT
  impression.impression_id,
  impression.served_at,
  COALESCE(
    clicked_impression.first_clicked_at < TIMESTAMP_ADD(impression.served_at, INTERVAL 24 HOUR),
    FALSE
  ) AS clicked,
  impression.user_id,
  impression.placement_id,
  impression.advertiser_id,
  impression.exchange,
  impression.region,
  impression.placement_visibility AS visibility,
  impression.placement_format AS format,
  CONCAT(CAST(impression.placement_width AS STRING), 'x', CAST(impression.placement_height AS STRING)) AS size,
  FARM_FINGERPRINT(impression.user_agent) & 63 AS device_code,
  FARM_FINGERPRINT(impression.city) & 255 AS city_code,
  FARM_FINGERPRINT(CONCAT(impression.creative_id, '|', impression.placement_id)) & 1023 AS creative_placement_code,
  EXTRACT(HOUR FROM impression.served_at) AS hour_of_day,
  EXTRACT(DAYOFWEEK FROM impression.served_at) AS day_of_week,
  impression.bid_floor_micros AS floor_micros,
  impression.placement_position AS position,
  ARRAY_LENGTH(impression.segments) AS segment_count,
  COALESCE(campaign_click_rate.click_rate, overall_click_rate.click_rate) AS campaign_click_rate_14d,
  COALESCE(creative_click_rate.click_rate, overall_click_rate.click_rate) AS creative_click_rate_14d,
  COALESCE(placement_click_rate.click_rate, overall_click_rate.click_rate) AS placement_click_rate_14d,
  COALESCE(site_click_rate.click_rate, overall_click_rate.click_rate) AS site_click_rate_14d,
  COALESCE(user_click_rate.click_rate, overall_click_rate.click_rate) AS user_click_rate_14d,
  COALESCE(user_click_rate.impressions_1d, 0) AS user_impressions_1d,
  COALESCE(user_click_rate.impressions_7d, 0) AS user_impressions_7d,
  user_click_rate.days_since_seen AS user_days_since_seen,
  user_click_rate.days_since_clicked AS user_days_since_clicked,
  COALESCE(audience.log_lift, 0) AS segments_log_lift_14d,
  COALESCE(audience.highest_log_lift, 0) AS segments_highest_log_lift_14d,
  -- What the rate were if ad, place and audience knew nothing of each other.
  COALESCE(creative_click_rate.click_rate, overall_click_rate.click_rate)
  * COALESCE(SAFE_DIVIDE(placement_click_rate.click_rate, overall_click_rate.click_rate), 1)
  * EXP(COALESCE(audience.log_lift, 0)) AS combined_click_rate_14d
FROM impression
INNER JOIN shown
  ON impression.impression_id = shown.impression_id AND impression.served_at = shown.served_at
CROSS JOIN overall_click_rate
LEFT JOIN clicked_impression
  ON impression.impression_id = clicked_impression.impression_id
LEFT JOIN campaign_click_rate
  ON impression.campaign_id = campaign_click_rate.campaign_id
LEFT JOIN creative_click_rate
  ON impression.creative_id = creative_click_rate.creative_id
LEFT JOIN placement_click_rate
  ON impression.placement_id = placement_click_rate.placement_id
LEFT JOIN site_click_rate
  ON impression.site_domain = site_click_rate.site_domain
LEFT JOIN user_click_rate
  ON impression.user_id = user_click_rate.user_id
LEFT JOIN audience
  ON impression.impression_id = audience.impression_id AND impression.served_at = audience.served_at
