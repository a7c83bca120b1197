-- One row per site: its impressions of @date, and those of them or of the day before that were first clicked on
-- @date. A click counts on the day it comes in, so that the counts of a day are known when the day is over.
-- reads: impression [-1, 0], click [-1, 0]
-- key: site_domain
WITH clicked_impression AS (
  SELECT
    impression_id,
    MIN(clicked_at) AS first_clicked_at
  FROM click
  GROUP BY impression_id
)

SELECT
  impression.site_domain,
  COUNTIF(DATE(impression.served_at) = @date) AS impressions,
  COUNTIF(
    DATE(clicked_impression.first_clicked_at) = @date
    AND clicked_impression.first_clicked_at < TIMESTAMP_ADD(impression.served_at, INTERVAL 24 HOUR)
  ) AS clicks
FROM impression
LEFT JOIN clicked_impression
  ON impression.impression_id = clicked_impression.impression_id
WHERE impression.site_domain IS NOT NULL
GROUP BY impression.site_domain
