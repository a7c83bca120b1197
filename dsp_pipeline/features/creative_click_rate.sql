-- One row per creative: its impressions and clicks of the 14 days before @date, and its click rate, drawn towards that of
-- all as if 300 more impressions had been seen at that rate: about as many as it takes to tell two of them apart.
-- reads: creative_daily [-14, -1], overall_click_rate [0, 0]
-- key: creative_id
SELECT
  creative_daily.creative_id,
  SUM(creative_daily.impressions) AS impressions,
  SUM(creative_daily.clicks) AS clicks,
  (SUM(creative_daily.clicks) + 300 * MAX(overall_click_rate.click_rate)) / (SUM(creative_daily.impressions) + 300)
    AS click_rate
FROM creative_daily
CROSS JOIN overall_click_rate
GROUP BY creative_daily.creative_id
