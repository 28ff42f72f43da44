SET lock_timeout = '10s';

DROP TABLE policies_v1;

RESET lock_timeout;
