-- One row: impressions and clicks of the 14 days before @date, and their click rate, which is what is known of who is
-- unknown. The rate is null before there is any history.
-- reads: creative_daily [-14, -1]
-- key: scope
SELECT
  'all' AS scope,
  COALESCE(SUM(impressions), 0) AS impressions,
  COALESCE(SUM(clicks), 0) AS clicks,
  SAFE_DIVIDE(SUM(clicks), SUM(impressions)) AS click_rate
FROM creative_daily
