SET lock_timeout = '10s';

DROP TABLE storage_accounts_v1;

RESET lock_timeout;
