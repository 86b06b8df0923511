PRAGMA application_id = 1835623265;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE certificates (
        id INTEGER PRIMARY KEY,
        issuer INTEGER NOT NULL REFERENCES issuers,
        serial BLOB NOT NULL,
        certificate BLOB NOT NULL,
        provisioner INTEGER NOT NULL REFERENCES provisioners,
        credential INTEGER NOT NULL REFERENCES credentials,
        subject TEXT NOT NULL,
        names TEXT,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        issued_at INTEGER NOT NULL,
        request_id TEXT NOT NULL,
        replaces_issuer INTEGER REFERENCES issuers,
        replaces_serial BLOB
    ) STRICT
    ;
INSERT INTO "certificates" VALUES(1,1,X'01',X'0101010101010101',1,1,'svc.example',NULL,1931246813000000,1931333213000000,1931246813000000,'request-1',NULL,NULL);
INSERT INTO "certificates" VALUES(2,1,X'02',X'0202020202020202',1,1,'someone','["a.example", "svc.example"]',1931246813000000,1931333213000000,1931246813000000,'request-2',NULL,NULL);
INSERT INTO "certificates" VALUES(3,2,X'02',X'0202020202020202',1,1,'svc.example',NULL,1931246813000000,1933838813000000,1931246813000000,'request-2',1,X'01');
INSERT INTO "certificates" VALUES(4,3,X'03',X'0303030303030303',1,1,'alice@example.com','["alice", "svc.example"]',1931246813000000,1931333213000000,1931246813000000,'request-3',NULL,NULL);
CREATE TABLE credentials (
        id INTEGER PRIMARY KEY,
        provisioner INTEGER NOT NULL REFERENCES provisioners,
        type TEXT NOT NULL,
        credential_id TEXT NOT NULL,
        UNIQUE (provisioner, type, credential_id)
    ) STRICT
    ;
INSERT INTO "credentials" VALUES(1,1,'JWK','kid');
CREATE TABLE issuers (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        digest BLOB NOT NULL,
        UNIQUE (kind, digest)
    ) STRICT
    ;
INSERT INTO "issuers" VALUES(1,'x509',X'0101010101010101010101010101010101010101010101010101010101010101');
INSERT INTO "issuers" VALUES(2,'x509',X'0202020202020202020202020202020202020202020202020202020202020202');
INSERT INTO "issuers" VALUES(3,'ssh',X'0303030303030303030303030303030303030303030303030303030303030303');
CREATE TABLE names (
        name TEXT NOT NULL,
        certificate INTEGER NOT NULL REFERENCES certificates,
        is_name INTEGER NOT NULL,
        PRIMARY KEY (name, certificate)
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "names" VALUES('a.example',2,1);
INSERT INTO "names" VALUES('alice',4,1);
INSERT INTO "names" VALUES('alice@example.com',4,0);
INSERT INTO "names" VALUES('someone',2,0);
INSERT INTO "names" VALUES('svc.example',1,1);
INSERT INTO "names" VALUES('svc.example',2,1);
INSERT INTO "names" VALUES('svc.example',3,1);
INSERT INTO "names" VALUES('svc.example',4,1);
CREATE TABLE provisioners (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO "provisioners" VALUES(1,'admin');
CREATE TABLE pruned (id INTEGER PRIMARY KEY CHECK (id = 1), until INTEGER NOT NULL) STRICT;
INSERT INTO "pruned" VALUES(1,-9223372036854775808);
CREATE TABLE revocations (
        id INTEGER PRIMARY KEY,
        issuer INTEGER NOT NULL REFERENCES issuers,
        serial BLOB NOT NULL,
        revoked_at INTEGER NOT NULL,
        reason_code INTEGER NOT NULL,
        reason TEXT NOT NULL,
        credential INTEGER NOT NULL REFERENCES credentials,
        request_id TEXT NOT NULL,
        UNIQUE (issuer, serial)
    ) STRICT
    ;
INSERT INTO "revocations" VALUES(1,1,X'00C8',1931246813000000,1,'lost',1,'r');
INSERT INTO "revocations" VALUES(2,1,X'02',1931246813000000,1,'lost',1,'r');
INSERT INTO "revocations" VALUES(3,1,X'7F',1931246813000000,1,'lost',1,'r');
INSERT INTO "revocations" VALUES(4,1,X'400000000000000000',1931246813000000,1,'lost',1,'r');
INSERT INTO "revocations" VALUES(5,1,X'0100',1931246813000000,1,'lost',1,'r');
CREATE TABLE spent (
        provisioner INTEGER NOT NULL REFERENCES provisioners,
        digest BLOB NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (provisioner, digest)
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "spent" VALUES(1,X'2705D83FA7BC32E9D64FBA9ACE3E0BE62E01AF4CD2227ED00E538C8D944B75D6',1931247113000000);
CREATE UNIQUE INDEX certificates_serial ON certificates (issuer, serial);
CREATE INDEX certificates_provisioner ON certificates (provisioner);
CREATE INDEX certificates_not_after ON certificates (not_after);
COMMIT;
