-- Reviews of ordered items. The UNIQUE is the safety net below the rule: an item is reviewed once. Only one table in use
-- is referenced, because a reference locks the other table until the step is committed.

CREATE TABLE review (
  id TEXT NOT NULL PRIMARY KEY,
  order_id TEXT NOT NULL REFERENCES orders (id),
  line_id TEXT NOT NULL,
  product_id TEXT NOT NULL,
  rating BIGINT NOT NULL CHECK (rating >= 1 AND rating <= 5),
  body TEXT NOT NULL,
  state TEXT NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (order_id, line_id)
);
-- For the list of a product. Ids sort by the time of creation.
CREATE INDEX review_by_product ON review (product_id, state, id);

-- The number of published reviews of a product and the sum of their ratings.
CREATE TABLE product_rating (
  product_id TEXT NOT NULL PRIMARY KEY,
  reviews BIGINT NOT NULL CHECK (reviews >= 0),
  rating_sum BIGINT NOT NULL CHECK (rating_sum >= reviews AND rating_sum <= reviews * 5)
);
