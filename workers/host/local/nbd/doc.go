// Package nbd offers virtual disks to guests by the NBD protocol over unix
// sockets, and holds the small client that our own guests use.
//
// The server speaks the fixed newstyle handshake with structured replies and the
// block status context base:allocation. TRIM is served as WRITE_ZEROES. FLUSH and
// FUA on one connection cover writes acknowledged on every other, so it announces
// that several connections may be used at once.
package nbd
