-- One row per exchange and price step of `price_daily`: the bids of the 7 days before @date at such a price, and the
-- share of them that won, which is the share of auctions in which the market was below that price.
-- reads: price_daily [-7, -1]
-- key: exchange, price_step
SELECT
  exchange,
  price_step,
  SUM(bids) AS bids,
  SUM(wins) AS wins,
  -- Rounded to 1/65536, so that sums of bids by their rates are the same in whatever order.
  ROUND(65536 * SUM(wins) / SUM(bids)) / 65536 AS win_rate
FROM price_daily
GROUP BY exchange, price_step
