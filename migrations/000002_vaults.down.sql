SET lock_timeout = '10s';

DROP TABLE vaults_v1;

RESET lock_timeout;
