package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// keyPrefix lets secret scanners recognise an API key.
const keyPrefix = "fsk"

// secretBytes is how much of a key is random.
const secretBytes = 32

// MintKey makes an API key: the text to hand out once, fsk_<id>_<secret>_<crc32>,
// and the hash to keep. A fast hash is enough for a secret of 256 random bits.
func MintKey(id string, random io.Reader) (key, hash string, err error) {
	raw := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("draw secret: %w", err)
	}
	secret := hex.EncodeToString(raw)
	body := keyPrefix + "_" + id + "_" + secret
	return body + "_" + checksum(body), hashOf(secret), nil
}

// ReadKey returns the id of a key that MintKey made and the hash to keep.
func ReadKey(key string) (id, hash string, err error) {
	id, secret, ok := parseKey(strings.TrimSpace(key))
	if !ok {
		return "", "", errors.New("not an API key, or a damaged one")
	}
	return id, hashOf(secret), nil
}

// parseKey splits a key into id and secret; false when it is none, which the
// checksum tells without asking the database.
func parseKey(key string) (id, secret string, ok bool) {
	parts := strings.Split(key, "_")
	if len(parts) != 4 || parts[0] != keyPrefix || strings.Trim(parts[1], "0123456789abcdef-") != "" {
		return "", "", false
	}
	body := key[:strings.LastIndexByte(key, '_')]
	return parts[1], parts[2], checksum(body) == parts[3]
}

func secretMatches(secret, hash string) bool {
	return subtle.ConstantTimeCompare([]byte(hashOf(secret)), []byte(hash)) == 1
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func checksum(s string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s))) }
