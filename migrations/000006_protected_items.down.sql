SET lock_timeout = '10s';

DROP TABLE recovery_points_v1;
DROP TABLE protected_items_v1;

RESET lock_timeout;
