SET lock_timeout = '10s';
DROP TABLE recovery_plans_v1;
RESET lock_timeout;
