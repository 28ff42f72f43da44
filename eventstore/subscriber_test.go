package eventstore_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"farshore/eventstore"
	"farshore/eventstore/pgtest"
)

func subscriber(t *testing.T, store *eventstore.Postgres, group string) *eventstore.Subscriber {
	t.Helper()
	s, err := eventstore.NewSubscriber(store, eventstore.SubscriberConfig{
		Group: group, NackPause: time.Millisecond, Takeover: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func subscribe(t *testing.T, s *eventstore.Subscriber, topic string) <-chan *message.Message {
	t.Helper()
	messages, err := s.Subscribe(context.WithoutCancel(t.Context()), topic)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// next is the next message, acknowledged.
func next(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, ok := <-messages:
		if !ok {
			t.Fatal("the subscription has ended")
		}
		msg.Ack()
		return msg
	case <-t.Context().Done():
		t.Fatal("the test has ended")
	}
	return nil
}

func addNotes(t *testing.T, store *eventstore.Postgres, stream string, from, n int) {
	t.Helper()
	for v := range n {
		a := oneNote(stream, eventstore.Version(from+v), strconv.Itoa(from+v+1))
		a.Metadata = eventstore.Metadata{Vault: "v1", Correlation: "c1"}
		if _, err := store.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryEventIsDeliveredInOrderAsItWasStored(t *testing.T) {
	t.Parallel()
	store := start(t, pgtest.New(t))
	messages := subscribe(t, subscriber(t, store, "g"), eventstore.AllEvents)
	addNotes(t, store, "note-a", 0, 20)
	recs, err := store.Read(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range recs {
		msg := next(t, messages)
		got, err := store.Codec().FromMessage(msg)
		if err != nil {
			t.Fatal(err)
		}
		got.LeafHash = want.LeafHash // not carried
		if got != want || msg.UUID != want.ID || msg.Metadata["correlation_id"] != "c1" {
			t.Fatalf("got %+v as %v, want %+v", got, msg.Metadata, want)
		}
	}
}

func TestATopicIsAStreamCategory(t *testing.T) {
	t.Parallel()
	store := start(t, pgtest.New(t))
	addNotes(t, store, "other-a", 0, 3)
	addNotes(t, store, "note-a", 0, 1)
	addNotes(t, store, "note_book-a", 0, 1)
	addNotes(t, store, "note-b", 0, 1)
	messages := subscribe(t, subscriber(t, store, "g"), "note")
	for _, want := range []string{"note-a", "note-b"} {
		if got := next(t, messages).Metadata[eventstore.MetadataStream]; got != want {
			t.Fatalf("got an event of %s, want %s", got, want)
		}
	}
}

func TestARefusedMessageComesAgainBeforeTheNext(t *testing.T) {
	t.Parallel()
	store := start(t, pgtest.New(t))
	addNotes(t, store, "note-a", 0, 2)
	messages := subscribe(t, subscriber(t, store, "g"), eventstore.AllEvents)
	first := <-messages
	first.Nack()
	if again := next(t, messages); again.UUID != first.UUID {
		t.Fatalf("got position %s", again.Metadata[eventstore.MetadataPosition])
	}
	if second := next(t, messages); second.Metadata[eventstore.MetadataPosition] != "2" {
		t.Fatalf("got position %s", second.Metadata[eventstore.MetadataPosition])
	}
}

func TestASubscriptionGoesOnWhereItsGroupStopped(t *testing.T) {
	t.Parallel()
	store := start(t, pgtest.New(t))
	addNotes(t, store, "note-a", 0, 3)
	first := subscriber(t, store, "g")
	messages := subscribe(t, first, eventstore.AllEvents)
	for range 2 {
		next(t, messages)
	}
	unanswered := <-messages
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-messages; open {
		t.Fatal("the closed subscription delivers")
	}
	if _, err := first.Subscribe(t.Context(), eventstore.AllEvents); err == nil {
		t.Fatal("a closed subscriber subscribes")
	}
	if got := next(t, subscribe(t, subscriber(t, store, "g"), eventstore.AllEvents)); got.UUID != unanswered.UUID {
		t.Fatalf("went on at position %s", got.Metadata[eventstore.MetadataPosition])
	}
	if got := next(t, subscribe(t, subscriber(t, store, "another"), eventstore.AllEvents)); got.Metadata[eventstore.MetadataPosition] != "1" {
		t.Fatalf("another group starts at position %s", got.Metadata[eventstore.MetadataPosition])
	}
}

func TestOneMemberOfAGroupDeliversUntilItGoes(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	one, two := start(t, pgtest.Open(t, db.URL)), start(t, pgtest.Open(t, db.URL))
	leader, standby := subscriber(t, one, "g"), subscriber(t, two, "g")
	leading := subscribe(t, leader, eventstore.AllEvents)
	addNotes(t, one, "note-a", 0, 5)
	next(t, leading)
	waiting := subscribe(t, standby, eventstore.AllEvents)
	for range 4 {
		select {
		case msg := <-leading:
			msg.Ack()
		case msg := <-waiting:
			t.Fatalf("the standby delivers position %s", msg.Metadata[eventstore.MetadataPosition])
		}
	}
	if err := leader.Close(); err != nil {
		t.Fatal(err)
	}
	addNotes(t, one, "note-a", 5, 1)
	// At least once: the last of the old leader may come again, nothing is left out.
	for {
		if msg := next(t, waiting); msg.Metadata[eventstore.MetadataPosition] == "6" {
			return
		}
	}
}

func TestTheRouterRunsOnTheLog(t *testing.T) {
	t.Parallel()
	store := start(t, pgtest.New(t))
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	handled := make(chan string)
	router.AddConsumerHandler("notes", "note", subscriber(t, store, "notes"), func(msg *message.Message) error {
		handled <- msg.Metadata[eventstore.MetadataPosition]
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- router.Run(context.WithoutCancel(t.Context())) }()
	addNotes(t, store, "note-a", 0, 3)
	for _, want := range []string{"1", "2", "3"} {
		if got := <-handled; got != want {
			t.Fatalf("handled position %s, want %s", got, want)
		}
	}
	if err := router.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
