-- One row per site: its impressions and clicks of the 14 days before @date, and its click rate, drawn towards that of
-- all as if 300 more impressions had been seen at that rate: about as many as it takes to tell two of them apart.
-- reads: site_daily [-14, -1], overall_click_rate [0, 0]
-- key: site_domain
SELECT
  site_daily.site_domain,
  SUM(site_daily.impressions) AS impressions,
  SUM(site_daily.clicks) AS clicks,
  (SUM(site_daily.clicks) + 300 * MAX(overall_click_rate.click_rate)) / (SUM(site_daily.impressions) + 300)
    AS click_rate
FROM site_daily
CROSS JOIN overall_click_rate
GROUP BY site_daily.site_domain
