-- One row per campaign and whole days since the click, 0 to 3: the first clicks of that day, and those of them after
-- which the first conversion within 72 hours came in on @date. A conversion counts on the day it comes in, so that the
-- counts of a day are known when the day is over.
-- reads: first_click [-3, 0], conversion [-3, 0]
-- key: campaign_id, days_since_click
--
-- Clicks without a campaign are those of the campaign ''.
WITH first_conversion AS (
  SELECT
    first_click.impression_id,
    MIN(conversion.converted_at) AS converted_at
  FROM first_click
  INNER JOIN conversion
    ON first_click.impression_id = conversion.impression_id
  WHERE
    conversion.converted_at >= first_click.clicked_at
    AND conversion.converted_at < TIMESTAMP_ADD(first_click.clicked_at, INTERVAL 72 HOUR)
  GROUP BY first_click.impression_id
)

SELECT
  COALESCE(first_click.campaign_id, '') AS campaign_id,
  DATE_DIFF(@date, first_click.date, DAY) AS days_since_click,
  COUNT(*) AS clicks,
  COUNTIF(DATE(first_conversion.converted_at) = @date) AS conversions
FROM first_click
LEFT JOIN first_conversion
  ON first_click.impression_id = first_conversion.impression_id
GROUP BY campaign_id, days_since_click
