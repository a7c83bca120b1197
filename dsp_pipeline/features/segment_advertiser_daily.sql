-- One row per advertiser and audience segment: its impressions of @date that users in the segment saw, and those of them
-- or of the day before that were first clicked on @date. A click counts on the day it comes in.
-- reads: impression [-1, 0], click [-1, 0]
-- key: advertiser_id, segment
WITH clicked_impression AS (
  SELECT
    impression_id,
    MIN(clicked_at) AS first_clicked_at
  FROM click
  GROUP BY impression_id
)

SELECT
  impression.advertiser_id,
  tag AS segment,
  COUNTIF(DATE(impression.served_at) = @date) AS impressions,
  COUNTIF(
    DATE(clicked_impression.first_clicked_at) = @date
    AND clicked_impression.first_clicked_at < TIMESTAMP_ADD(impression.served_at, INTERVAL 24 HOUR)
  ) AS clicks
FROM impression
CROSS JOIN UNNEST(impression.segments) AS tag
LEFT JOIN clicked_impression
  ON impression.impression_id = clicked_impression.impression_id
WHERE impression.advertiser_id IS NOT NULL
GROUP BY impression.advertiser_id, segment
