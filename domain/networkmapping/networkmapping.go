// Package networkmapping decides which network of a recovery site stands for which
// network of a site. All mappings of a vault are one aggregate, so that a network
// is mapped once for each recovery site. What the sites have is not known here: it
// arrives in the commands.
package networkmapping

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of the stream of a vault's mappings; "<vault>" follows.
const Category = "network_mapping"

// Addressing says what address an adapter has in the recovery network.
type Addressing string

// The ways of addressing.
const (
	FromDHCP         Addressing = "dhcp"
	KeepAddress      Addressing = "keepAddress"      // the static address of the source, if it has one
	TranslateAddress Addressing = "translateAddress" // its host part, in the subnet of the recovery network
)

// Mapping connects a network of a site with one of a recovery site.
type Mapping struct {
	ID                  string     `json:"id"`
	Site                string     `json:"site"`
	Network             string     `json:"network"`     // its id
	NetworkName         string     `json:"networkName"` // as it was when it was mapped
	RecoverySite        string     `json:"recoverySite"`
	RecoveryNetwork     string     `json:"recoveryNetwork"`
	RecoveryNetworkName string     `json:"recoveryNetworkName"`
	RecoverySubnet      string     `json:"recoverySubnet,omitempty"` // CIDR; empty: any of the network's
	Addressing          Addressing `json:"addressing"`
}

// Entry is a mapping and when it changed last.
type Entry struct {
	Mapping
	Version   int // of the stream, with its last change
	ChangedAt time.Time
}

// State is a vault's mappings.
type State struct {
	Entries []Entry // by id
	Mapped  []Pair  // the sites between which a network was mapped once
	Version int     // of the stream
}

// Pair is a site and a recovery site of it.
type Pair struct {
	Site         string
	RecoverySite string
}

// Find returns the mapping of an id.
func (s State) Find(id string) (Entry, bool) {
	i := slices.IndexFunc(s.Entries, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Entry{}, false
	}
	return s.Entries[i], true
}

// Between returns the mappings from the networks of a site to those of another.
func (s State) Between(site, recoverySite string) []Mapping {
	var found []Mapping
	for _, e := range s.Entries {
		if e.Site == site && e.RecoverySite == recoverySite {
			found = append(found, e.Mapping)
		}
	}
	return found
}

// Ever says whether a network of a site was ever mapped to another site, though none
// may be now.
func (s State) Ever(site, recoverySite string) bool {
	return slices.Contains(s.Mapped, Pair{Site: site, RecoverySite: recoverySite})
}

// Command asks for something to happen to a vault's mappings.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a vault's mappings.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the aggregate of a vault's network mappings.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State {
		s.Version++
		return e.evolve(s)
	},
}

// Events lists one zero value of each event, for the codec.
func Events() []Event { return []Event{NetworkMapped{}, MappingRemoved{}} }

// MapNetwork maps a network, or changes where it is mapped to. Mapping it again as
// it is changes nothing. An empty name is that of a network which the site does
// not have.
type MapNetwork struct {
	Mapping Mapping
	Subnets []string // of the recovery network
	At      time.Time
}

func (c MapNetwork) decide(s State) ([]Event, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	m := c.Mapping
	for _, e := range s.Entries {
		source := e.Site == m.Site && e.Network == m.Network && e.RecoverySite == m.RecoverySite
		switch {
		case e.ID == m.ID && e.Mapping == m:
			return nil, nil
		case e.ID == m.ID && !source:
			return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings,
				"mapping %q is of network %q of site %q to site %q", m.ID, e.NetworkName, e.Site, e.RecoverySite)
		case e.ID != m.ID && source:
			return nil, domain.Reject(domain.Conflict, errorcatalog.NetworkMappedAlready,
				"network %q of site %q is mapped to site %q by mapping %q", e.NetworkName, e.Site, e.RecoverySite, e.ID).At("/network")
		}
	}
	return []Event{NetworkMapped{Mapping: m, At: c.At}}, nil
}

func (c MapNetwork) validate() error {
	m := c.Mapping
	for _, f := range []struct{ field, slug string }{
		{"/id", m.ID}, {"/site", m.Site}, {"/network", m.Network}, {"/recoverySite", m.RecoverySite}, {"/recoveryNetwork", m.RecoveryNetwork},
	} {
		if err := domain.CheckSlug(f.field, f.slug); err != nil {
			return err
		}
	}
	switch {
	case m.NetworkName == "":
		return domain.Reject(domain.Invalid, errorcatalog.NetworkNotFound, "site %q has no network %q", m.Site, m.Network).At("/network")
	case m.RecoveryNetworkName == "":
		return domain.Reject(domain.Invalid, errorcatalog.NetworkNotFound, "site %q has no network %q", m.RecoverySite, m.RecoveryNetwork).At("/recoveryNetwork")
	case m.Addressing != FromDHCP && m.Addressing != KeepAddress && m.Addressing != TranslateAddress:
		return invalid("/addressing", "%q is not one of %s, %s, %s", m.Addressing, FromDHCP, KeepAddress, TranslateAddress)
	case m.RecoverySubnet != "" && !slices.Contains(c.Subnets, m.RecoverySubnet):
		return invalid("/recoverySubnet", "network %q has no subnet %q", m.RecoveryNetworkName, m.RecoverySubnet)
	case m.Addressing == TranslateAddress && len(c.Subnets) == 0:
		return invalid("/addressing", "no subnet of network %q is known that an address could be translated to", m.RecoveryNetworkName)
	}
	return nil
}

// NetworkMapped maps a network, in place of a mapping of the same id.
type NetworkMapped struct {
	Mapping Mapping   `json:"mapping"`
	At      time.Time `json:"at"`
}

// EventType implements domain.Event.
func (NetworkMapped) EventType() string { return "network_mapping.network_mapped.v1" }

func (e NetworkMapped) evolve(s State) State {
	s.Entries = append(without(s.Entries, e.Mapping.ID), Entry{Mapping: e.Mapping, Version: s.Version, ChangedAt: e.At})
	slices.SortFunc(s.Entries, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
	if p := (Pair{Site: e.Mapping.Site, RecoverySite: e.Mapping.RecoverySite}); !slices.Contains(s.Mapped, p) {
		s.Mapped = append(slices.Clone(s.Mapped), p)
	}
	return s
}

// RemoveMapping gives a mapping up, whatever uses it. Removing one that is not
// there changes nothing.
type RemoveMapping struct {
	ID string
	At time.Time
}

func (c RemoveMapping) decide(s State) ([]Event, error) {
	if err := domain.CheckSlug("/id", c.ID); err != nil {
		return nil, err
	}
	e, ok := s.Find(c.ID)
	if !ok {
		return nil, nil
	}
	return []Event{MappingRemoved{ID: c.ID, Site: e.Site, Network: e.Network, RecoverySite: e.RecoverySite, At: c.At}}, nil
}

// MappingRemoved means that a network is mapped to a recovery site no more.
type MappingRemoved struct {
	ID           string    `json:"id"`
	Site         string    `json:"site"`
	Network      string    `json:"network"`
	RecoverySite string    `json:"recoverySite"`
	At           time.Time `json:"at"`
}

// EventType implements domain.Event.
func (MappingRemoved) EventType() string { return "network_mapping.mapping_removed.v1" }

func (e MappingRemoved) evolve(s State) State {
	s.Entries = without(s.Entries, e.ID)
	return s
}

func without(entries []Entry, id string) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.ID == id })
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
