SET lock_timeout = '10s';

DROP TABLE api_keys_v1;

RESET lock_timeout;
