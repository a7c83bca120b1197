-- One row per impression that was first clicked on @date: the click, and what was shown to whom.
-- reads: click [-1, 0], impression [-1, 0]
-- key: impression_id
WITH clicked_impression AS (
  SELECT
    impression_id,
    MIN(clicked_at) AS clicked_at
  FROM click
  GROUP BY impression_id
)

SELECT
  impression.impression_id,
  clicked_impression.clicked_at,
  impression.campaign_id
FROM clicked_impression
INNER JOIN impression
  ON clicked_impression.impression_id = impression.impression_id
WHERE DATE(clicked_impression.clicked_at) = @date
-- A logger that sends again may stamp the same impression twice.
QUALIFY ROW_NUMBER() OVER (PARTITION BY impression.impression_id ORDER BY impression.served_at) = 1
