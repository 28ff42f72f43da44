package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	errProtocol = errors.New("the client does not speak the protocol")
	errGone     = errors.New("the client has disconnected")
)

// handshake negotiates until the client has chosen an export.
func (c *session) handshake() error {
	var hello []byte
	hello = binary.BigEndian.AppendUint64(hello, magicInit)
	hello = binary.BigEndian.AppendUint64(hello, magicOption)
	hello = binary.BigEndian.AppendUint16(hello, handshakeFixedNewstyle|handshakeNoZeroes)
	if err := c.send(hello); err != nil {
		return err
	}
	var b [16]byte
	if _, err := io.ReadFull(c.in, b[:4]); err != nil {
		return fmt.Errorf("read client flags: %w", err)
	}
	flags := binary.BigEndian.Uint32(b[:])
	if flags&^(handshakeFixedNewstyle|handshakeNoZeroes) != 0 {
		return fmt.Errorf("client flags %#x: %w", flags, errProtocol)
	}
	c.noZeroes = flags&handshakeNoZeroes != 0
	for c.export == nil {
		if _, err := io.ReadFull(c.in, b[:]); err != nil {
			return fmt.Errorf("read option: %w", err)
		}
		option, n := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
		if binary.BigEndian.Uint64(b[:]) != magicOption {
			return fmt.Errorf("option: %w", errProtocol)
		}
		if n > maxOptionLength {
			if _, err := io.CopyN(io.Discard, c.in, int64(n)); err != nil {
				return fmt.Errorf("skip option: %w", err)
			}
			if err := c.reply(option, repErrTooBig, nil); err != nil {
				return err
			}
			continue
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(c.in, data); err != nil {
			return fmt.Errorf("read option: %w", err)
		}
		if err := c.option(option, data); err != nil {
			return err
		}
	}
	return nil
}

// option answers one option; it sets c.export when the handshake is over.
func (c *session) option(option uint32, data []byte) error {
	switch option {
	case optExportName:
		return c.exportName(string(data))
	case optAbort:
		_ = c.reply(option, repAck, nil)
		return errGone
	case optList:
		return c.list(data)
	case optInfo, optGo:
		return c.info(option, data)
	case optStructuredReply:
		if len(data) != 0 {
			return c.reply(option, repErrInvalid, nil)
		}
		c.structured = true
		return c.reply(option, repAck, nil)
	case optListMetaContext, optSetMetaContext:
		return c.metaContext(option, data)
	default:
		return c.reply(option, repErrUnsup, nil)
	}
}

func (c *session) reply(option, kind uint32, data []byte) error {
	var b []byte
	b = binary.BigEndian.AppendUint64(b, magicOptionReply)
	b = binary.BigEndian.AppendUint32(b, option)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data))) //nolint:gosec // our own replies are short
	return c.send(append(b, data...))
}

// exportName is the old way to choose an export; it knows no error.
func (c *session) exportName(name string) error {
	e := c.server.export(name)
	if e == nil {
		return fmt.Errorf("export %q: %w", name, errProtocol)
	}
	var b []byte
	b = binary.BigEndian.AppendUint64(b, uint64(e.Device.Size()))
	b = binary.BigEndian.AppendUint16(b, e.flags())
	if !c.noZeroes {
		b = append(b, make([]byte, 124)...)
	}
	c.export = e
	return c.send(b)
}

func (c *session) list(data []byte) error {
	if len(data) != 0 {
		return c.reply(optList, repErrInvalid, nil)
	}
	for _, e := range c.server.exports {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(e.Name))) //nolint:gosec // a name is short
		if err := c.reply(optList, repServer, append(b, e.Name...)); err != nil {
			return err
		}
	}
	return c.reply(optList, repAck, nil)
}

// info answers INFO and GO: u32 length of name, name, u16 count, u16 each.
func (c *session) info(option uint32, data []byte) error {
	name, rest, ok := cutString(data)
	if !ok || len(rest) < 2 || len(rest) != 2+2*int(binary.BigEndian.Uint16(rest)) {
		return c.reply(option, repErrInvalid, nil)
	}
	e := c.server.export(name)
	if e == nil {
		return c.reply(option, repErrUnknown, []byte("there is no export of this name"))
	}
	b := binary.BigEndian.AppendUint16(nil, infoExport)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Device.Size()))
	b = binary.BigEndian.AppendUint16(b, e.flags())
	if err := c.reply(option, repInfo, b); err != nil {
		return err
	}
	b = binary.BigEndian.AppendUint16(nil, infoBlockSize)
	for _, size := range []uint32{1, preferredRequest, maxPayload} {
		b = binary.BigEndian.AppendUint32(b, size)
	}
	if err := c.reply(option, repInfo, b); err != nil {
		return err
	}
	if option == optGo {
		c.export = e
	}
	return c.reply(option, repAck, nil)
}

// metaContext answers LIST and SET: name, u32 count of queries, each a string.
func (c *session) metaContext(option uint32, data []byte) error {
	name, rest, ok := cutString(data)
	if !ok || len(rest) < 4 || !c.structured {
		return c.reply(option, repErrInvalid, nil)
	}
	if c.server.export(name) == nil {
		return c.reply(option, repErrUnknown, nil)
	}
	n := binary.BigEndian.Uint32(rest)
	wanted := option == optListMetaContext && n == 0
	rest = rest[4:]
	for range n {
		var query string
		if query, rest, ok = cutString(rest); !ok {
			return c.reply(option, repErrInvalid, nil)
		}
		wanted = wanted || query == allocationContext || option == optListMetaContext && query == strings.SplitAfter(allocationContext, ":")[0]
	}
	if len(rest) != 0 {
		return c.reply(option, repErrInvalid, nil)
	}
	if option == optSetMetaContext {
		c.allocation = wanted
	}
	if wanted {
		b := binary.BigEndian.AppendUint32(nil, allocationContextID)
		if err := c.reply(option, repMetaContext, append(b, allocationContext...)); err != nil {
			return err
		}
	}
	return c.reply(option, repAck, nil)
}

// cutString splits a string with its length before it off b.
func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return "", nil, false
	}
	return string(b[4 : 4+n]), b[4+n:], true
}
