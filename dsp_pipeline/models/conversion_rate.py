"""conversion_rate: the probability that a click is followed by a conversion within 72 hours."""

from dsp_pipeline.training.model import Model, category, number

model = Model(
    table="conversion_rate",
    label="converted",
    # Few, since a day has a hundred conversions and not a thousand clicks.
    features=(
        number("hour_of_day"),
        category("advertiser_id"),
        category("device_code"),
        number("campaign_conversion_rate_14d"),
    ),
    # At 6 % conversions a row weighs about 0.055: a leaf of 5 holds some 90 clicks and 5 conversions.
    parameters={"eta": 0.1, "max_depth": 2, "min_child_weight": 5, "lambda": 10, "max_cat_threshold": 16},
    rounds=100,
    slices=("advertiser_id", "exchange"),
    unit="user_id",
)
