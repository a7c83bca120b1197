-- One row per placement: its bids of the 7 days before @date, how many of them won and how many were to be expected of
-- bids at these prices on their exchanges, and the ratio of the two, drawn towards 1 as if 20 more wins had been as
-- expected. Above 1 the placement is cheaper than others, and of a placement that is not known 1 is to be expected.
-- reads: price_daily [-7, -1], price_landscape [0, 0]
-- key: placement_id
SELECT
  price_daily.placement_id,
  SUM(price_daily.bids) AS bids,
  SUM(price_daily.wins) AS wins,
  SUM(price_daily.bids * price_landscape.win_rate) AS expected_wins,
  (SUM(price_daily.wins) + 20) / (SUM(price_daily.bids * price_landscape.win_rate) + 20) AS win_lift
FROM price_daily
INNER JOIN price_landscape
  ON price_daily.exchange = price_landscape.exchange AND price_daily.price_step = price_landscape.price_step
WHERE price_daily.placement_id <> ''
GROUP BY price_daily.placement_id
