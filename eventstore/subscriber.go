package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
)

// The keys of a message's metadata.
const (
	MetadataPosition   = "position"
	MetadataStream     = "stream"
	MetadataVersion    = "version"
	MetadataType       = "type"
	MetadataRecordedAt = "recorded_at"
	MetadataEvent      = "metadata"       // the event's own metadata, as JSON
	metadataThread     = "correlation_id" // watermill's own key, which its middleware passes on
)

// AllEvents is the topic that carries every event. Any other topic is a stream
// category, such as "protected_item".
const AllEvents = "*"

// SubscriberConfig names a group of subscribers and tunes it.
type SubscriberConfig struct {
	// Group is the consumer group: of all processes, one at a time delivers a
	// topic to it, and each event counts as delivered once it is acknowledged.
	Group     string
	Logger    *slog.Logger  // nil: none
	BatchSize int           // events read at once; default 500
	NackPause time.Duration // before a refused message comes again; default 200 ms
	Takeover  time.Duration // how often a standby tries to become leader; default 1 s
}

// Subscriber feeds watermill handlers from the log by position. No transaction is
// open while a handler works. Delivery is at least once and in order: after a crash
// the events since the last saved checkpoint come again, with the same ids.
type Subscriber struct {
	store  *Postgres
	config SubscriberConfig
	closed context.Context //nolint:containedctx // Close has to end every subscription; watermill gives it no context
	end    context.CancelFunc
	active sync.WaitGroup
	mu     sync.Mutex // between Subscribe and Close
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a subscriber for one consumer group.
func NewSubscriber(store *Postgres, config SubscriberConfig) (*Subscriber, error) {
	if config.Group == "" {
		return nil, errors.New("make subscriber: no consumer group named")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.BatchSize <= 0 {
		config.BatchSize = 500
	}
	if config.NackPause <= 0 {
		config.NackPause = 200 * time.Millisecond
	}
	if config.Takeover <= 0 {
		config.Takeover = time.Second
	}
	closed, end := context.WithCancel(context.Background())
	return &Subscriber{store: store, config: config, closed: closed, end: end}, nil
}

// Subscribe implements message.Subscriber. The topic is AllEvents or a category.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Err() != nil {
		return nil, fmt.Errorf("subscribe to %s: the subscriber is closed", topic)
	}
	if topic == "" {
		return nil, errors.New("subscribe: no topic")
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closed, cancel) //nolint:contextcheck // Close ends what its caller would go on with
	d := &delivery{store: s.store, config: s.config, topic: topic, out: make(chan *message.Message)}
	s.active.Go(func() {
		defer close(d.out)
		defer cancel()
		defer stop()
		d.run(ctx)
	})
	return d.out, nil
}

// Close implements message.Subscriber: it ends all subscriptions and waits.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.active.Wait()
	return nil
}

// CheckpointName is the row of table checkpoints where a group's position in a
// topic is kept.
func CheckpointName(group, topic string) string { return "subscriber/" + group + "/" + topic }

// delivery is one subscription.
type delivery struct {
	store  *Postgres
	config SubscriberConfig
	topic  string
	out    chan *message.Message
}

// run leads the group whenever it can.
func (d *delivery) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.store.withConnection(ctx, d.lead)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.config.Logger.DebugContext(ctx, "subscription interrupted", "group", d.config.Group, "topic", d.topic, "error", err)
		}
		if !sleep(ctx, d.config.Takeover) {
			return
		}
	}
}

// lead delivers for as long as the connection holds the group's lock. Checkpoints
// are saved on that same connection: a leader that has lost it, and may have been
// replaced, cannot move the checkpoint.
func (d *delivery) lead(ctx context.Context, conn *pgx.Conn) error {
	name := CheckpointName(d.config.Group, d.topic)
	if err := d.takeOver(ctx, conn, name); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO checkpoints (name) VALUES ($1) ON CONFLICT (name) DO NOTHING`, name); err != nil {
		return fmt.Errorf("make checkpoint: %w", err)
	}
	for {
		var position Position
		if err := conn.QueryRow(ctx, `SELECT position FROM checkpoints WHERE name = $1`, name).Scan(&position); err != nil {
			return fmt.Errorf("read checkpoint: %w", err)
		}
		if err := d.store.Wait(ctx, position); err != nil {
			return err
		}
		if err := conn.Ping(ctx); err != nil { // the lock may have gone with it while we waited
			return fmt.Errorf("keep leadership: %w", err)
		}
		reached, err := d.deliver(ctx, position, func(to Position) error { return save(ctx, conn, name, to) })
		if reached > position {
			if saveErr := save(context.WithoutCancel(ctx), conn, name, reached); saveErr != nil {
				err = errors.Join(err, saveErr)
			}
		}
		if err != nil {
			return err
		}
	}
}

// takeOver waits until the connection holds the group's lock.
func (d *delivery) takeOver(ctx context.Context, conn *pgx.Conn, name string) error {
	for leader := false; !leader; {
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, name).Scan(&leader); err != nil {
			return fmt.Errorf("ask for leadership: %w", err)
		}
		if !leader && !sleep(ctx, d.config.Takeover) {
			return ctx.Err()
		}
	}
	return nil
}

func save(ctx context.Context, conn *pgx.Conn, name string, to Position) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	const update = `UPDATE checkpoints SET position = $2, updated_at = now() WHERE name = $1 AND position < $2`
	if _, err := conn.Exec(ctx, update, name, to); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

// deliver hands out one batch and returns the position up to which everything has
// been acknowledged. A slow batch saves its progress every second.
func (d *delivery) deliver(ctx context.Context, after Position, keep func(Position) error) (Position, error) {
	// The whole log is read, and what is not of the topic is passed over: a reader
	// of a rare category then moves on with the log instead of searching it again.
	const query = `SELECT ` + columns + ` FROM events WHERE global_position > $1 ORDER BY global_position LIMIT $2`
	rows, err := d.store.query(ctx, query, after, d.config.BatchSize)
	if err != nil {
		return after, fmt.Errorf("read events: %w", err)
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for _, r := range rows {
		if d.topic == AllEvents || category(r.stream) == d.topic {
			if err := d.handOver(ctx, r); err != nil {
				return after, err
			}
		}
		after = r.position
		select {
		case <-every.C:
			if err := keep(after); err != nil {
				return after, err
			}
		default:
		}
	}
	return after, nil
}

// handOver sends an event until it is acknowledged.
func (d *delivery) handOver(ctx context.Context, r row) error {
	for {
		msg := messageOf(ctx, r)
		select {
		case d.out <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-msg.Acked():
			return nil
		case <-msg.Nacked():
		case <-ctx.Done():
			return ctx.Err()
		}
		if !sleep(ctx, d.config.NackPause) {
			return ctx.Err()
		}
	}
}

func messageOf(ctx context.Context, r row) *message.Message {
	msg := message.NewMessageWithContext(ctx, r.id, message.Payload(r.data))
	msg.Metadata[MetadataPosition] = strconv.FormatInt(int64(r.position), 10)
	msg.Metadata[MetadataStream] = string(r.stream)
	msg.Metadata[MetadataVersion] = strconv.FormatInt(int64(r.version), 10)
	msg.Metadata[MetadataType] = r.eventType
	msg.Metadata[MetadataRecordedAt] = r.at.Format(time.RFC3339Nano)
	msg.Metadata[MetadataEvent] = string(r.metadata)
	var own Metadata
	if json.Unmarshal(r.metadata, &own) == nil && own.Correlation != "" {
		msg.Metadata[metadataThread] = own.Correlation
	}
	return msg
}

// FromMessage is the event that a Subscriber's message carries, brought to its
// present version.
func (c *Codec) FromMessage(msg *message.Message) (Recorded, error) {
	position, err := strconv.ParseInt(msg.Metadata[MetadataPosition], 10, 64)
	if err != nil {
		return Recorded{}, fmt.Errorf("read position of message %s: %w", msg.UUID, err)
	}
	version, err := strconv.ParseInt(msg.Metadata[MetadataVersion], 10, 64)
	if err != nil {
		return Recorded{}, fmt.Errorf("read version of message %s: %w", msg.UUID, err)
	}
	at, err := time.Parse(time.RFC3339Nano, msg.Metadata[MetadataRecordedAt])
	if err != nil {
		return Recorded{}, fmt.Errorf("read time of message %s: %w", msg.UUID, err)
	}
	return c.record(row{
		stream: StreamID(msg.Metadata[MetadataStream]), version: Version(version), position: Position(position),
		id: msg.UUID, eventType: msg.Metadata[MetadataType], at: at,
		data: []byte(msg.Payload), metadata: []byte(msg.Metadata[MetadataEvent]),
	})
}
