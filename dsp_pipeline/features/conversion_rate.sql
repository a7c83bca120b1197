-- One row per impression that was first clicked on @date: whether a conversion came within 72 hours of that click, and
-- what was known before the impression was served, or at midnight if the click came after it.
-- reads: click [-1, 0], impression [-1, 0], conversion [0, +3], overall_conversion_rate [0, 0],
--        campaign_conversion_rate [0, 0]
-- key: impression_id
WITH clicked_impression AS (
  SELECT
    impression_id,
    MIN(clicked_at) AS clicked_at
  FROM click
  GROUP BY impression_id
),

converted_impression AS (
  SELECT
    clicked_impression.impression_id,
    COUNT(*) AS conversions
  FROM clicked_impression
  INNER JOIN conversion
    ON clicked_impression.impression_id = conversion.impression_id
  WHERE
    conversion.converted_at >= clicked_impression.clicked_at
    AND conversion.converted_at < TIMESTAMP_ADD(clicked_impression.clicked_at, INTERVAL 72 HOUR)
  GROUP BY clicked_impression.impression_id
)

SELECT
  impression.impression_id,
  clicked_impression.clicked_at,
  converted_impression.conversions IS NOT NULL AS converted,
  impression.user_id,
  impression.placement_id,
  impression.advertiser_id,
  impression.exchange,
  impression.region,
  impression.placement_format AS format,
  FARM_FINGERPRINT(impression.user_agent) & 63 AS device_code,
  EXTRACT(HOUR FROM impression.served_at) AS hour_of_day,
  COALESCE(campaign_conversion_rate.conversion_rate, overall_conversion_rate.conversion_rate)
    AS campaign_conversion_rate_14d
FROM clicked_impression
INNER JOIN impression
  ON clicked_impression.impression_id = impression.impression_id
CROSS JOIN overall_conversion_rate
LEFT JOIN converted_impression
  ON clicked_impression.impression_id = converted_impression.impression_id
LEFT JOIN campaign_conversion_rate
  ON impression.campaign_id = campaign_conversion_rate.campaign_id
WHERE DATE(clicked_impression.clicked_at) = @date
-- A logger that sends again may stamp the same impression twice.
QUALIFY ROW_NUMBER() OVER (PARTITION BY impression.impression_id ORDER BY impression.served_at) = 1
