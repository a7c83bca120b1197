"""win_rate: the probability that a bid wins at the price that it offers.

A bid that lost only tells that the market was not below its price, and one that won that it was. The likelihood of
just that, win or not at this price, is what the trees maximise; a price of the market is never learned from.
"""

from dsp_pipeline.training.model import Model, category, number

model = Model(
    table="win_rate",
    label="won",
    features=(
        number("bid_price_micros", increasing=True),
        number("price_to_floor", increasing=True),
        number("floor_micros"),
        number("hour_of_day"),
        category("exchange"),
        category("format"),
        category("size"),
        number("placement_win_lift_7d", increasing=True),
    ),
    # At 24 % wins a row weighs about 0.18: a leaf of 50 holds some 280 bids.
    parameters={"eta": 0.2, "max_depth": 6, "min_child_weight": 50, "lambda": 5},
    rounds=150,
    negative_share=0.3,
    slices=("advertiser_id", "exchange", "placement_id", "hour_of_day"),
    unit="user_id",
)
