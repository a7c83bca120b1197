-- One row per placement: its impressions and clicks of the 14 days before @date, and its click rate, drawn towards that of
-- all as if 300 more impressions had been seen at that rate: about as many as it takes to tell two of them apart.
-- reads: placement_daily [-14, -1], overall_click_rate [0, 0]
-- key: placement_id
SELECT
  placement_daily.placement_id,
  SUM(placement_daily.impressions) AS impressions,
  SUM(placement_daily.clicks) AS clicks,
  (SUM(placement_daily.clicks) + 300 * MAX(overall_click_rate.click_rate)) / (SUM(placement_daily.impressions) + 300)
    AS click_rate
FROM placement_daily
CROSS JOIN overall_click_rate
GROUP BY placement_daily.placement_id
