-- One row per campaign: its impressions and clicks of the 14 days before @date, and its click rate, drawn towards that of
-- all as if 300 more impressions had been seen at that rate: about as many as it takes to tell two of them apart.
-- reads: campaign_daily [-14, -1], overall_click_rate [0, 0]
-- key: campaign_id
SELECT
  campaign_daily.campaign_id,
  SUM(campaign_daily.impressions) AS impressions,
  SUM(campaign_daily.clicks) AS clicks,
  (SUM(campaign_daily.clicks) + 300 * MAX(overall_click_rate.click_rate)) / (SUM(campaign_daily.impressions) + 300)
    AS click_rate
FROM campaign_daily
CROSS JOIN overall_click_rate
GROUP BY campaign_daily.campaign_id
