-- Stores 20,000 reviews of one product, so that its list has 1,000 pages of 20 reviews. Their order is one of the shop:
-- the orders of purchase.sql have other ids.
INSERT INTO review WITH RECURSIVE n(i) AS (SELECT 100001 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) SELECT 'rev_00000000000000000000000000' || i, (SELECT min(id) FROM orders WHERE id LIKE 'ord_0%'), 'li_' || i, 'bench_1', 5, 'Soft and blue', 'published', 1, 0, 0 FROM n WHERE true ON CONFLICT DO NOTHING;
INSERT INTO product_rating VALUES ('bench_1', 20000, 100000) ON CONFLICT DO NOTHING;
