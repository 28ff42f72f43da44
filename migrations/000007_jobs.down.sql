SET lock_timeout = '10s';

DROP TABLE jobs_v1;

RESET lock_timeout;
