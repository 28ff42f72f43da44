package nbd

import (
	"errors"
	"syscall"
)

// Numbers of the protocol, as its specification names them.
const (
	magicInit           = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption         = 0x49484156454F5054 // "IHAVEOPT"
	magicOptionReply    = 0x0003e889045565a9
	magicRequest        = 0x25609513
	magicSimpleReply    = 0x67446698
	magicStructuredType = 0x668e33ef

	handshakeFixedNewstyle = 1 << 0
	handshakeNoZeroes      = 1 << 1

	optExportName      = 1
	optAbort           = 2
	optList            = 3
	optInfo            = 6
	optGo              = 7
	optStructuredReply = 8
	optListMetaContext = 9
	optSetMetaContext  = 10

	repAck           = 1
	repServer        = 2
	repInfo          = 3
	repMetaContext   = 4
	repErrUnsup      = 1<<31 | 1
	repErrInvalid    = 1<<31 | 3
	repErrUnknown    = 1<<31 | 6
	repErrBlockSize  = 1<<31 | 8
	repErrTooBig     = 1<<31 | 9
	infoExport       = 0
	infoBlockSize    = 3
	infoExportLength = 12

	flagHasFlags        = 1 << 0
	flagReadOnly        = 1 << 1
	flagSendFlush       = 1 << 2
	flagSendFUA         = 1 << 3
	flagSendTrim        = 1 << 5
	flagSendWriteZeroes = 1 << 6
	flagSendDF          = 1 << 7
	flagCanMultiConn    = 1 << 8

	cmdRead        = 0
	cmdWrite       = 1
	cmdDisconnect  = 2
	cmdFlush       = 3
	cmdTrim        = 4
	cmdWriteZeroes = 6
	cmdBlockStatus = 7

	cmdFlagFUA    = 1 << 0
	cmdFlagNoHole = 1 << 1
	cmdFlagDF     = 1 << 2
	cmdFlagReqOne = 1 << 3

	replyFlagDone    = 1 << 0
	replyNone        = 0
	replyOffsetData  = 1
	replyBlockStatus = 5
	replyError       = 1<<15 | 1

	stateHole = 1 << 0
	stateZero = 1 << 1

	allocationContext   = "base:allocation"
	allocationContextID = 1

	requestLength    = 28
	simpleReply      = 16
	structuredReply  = 20
	maxPayload       = 32 << 20
	maxOptionLength  = 64 << 10
	preferredRequest = 64 << 10
)

// Error numbers of the protocol.
const (
	errnoOK     = 0
	errnoPerm   = 1
	errnoIO     = 5
	errnoNoMem  = 12
	errnoInval  = 22
	errnoNoSpac = 28
)

// errnoOf maps a device's error to what a guest can make sense of.
func errnoOf(err error) uint32 {
	switch {
	case err == nil:
		return errnoOK
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return errnoNoSpac
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return errnoPerm
	case errors.Is(err, syscall.ENOMEM):
		return errnoNoMem
	case errors.Is(err, syscall.EINVAL):
		return errnoInval
	default:
		return errnoIO
	}
}
