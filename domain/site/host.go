package site

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// AddHost adds a host to a site. Adding it again as it is changes nothing.
type AddHost struct {
	Host      string
	Directory string // of a local host: where its VMs' folders lie
	At        time.Time
}

func (c AddHost) decide(s State) ([]Event, error) {
	if !s.Registered {
		return nil, domain.Reject(domain.NotFound, errorcatalog.SiteNotFound, "the site is not registered")
	}
	if err := domain.CheckSlug("/host", c.Host); err != nil {
		return nil, err
	}
	if s.Kind == Local && !strings.HasPrefix(c.Directory, "/") {
		return nil, invalid("/directory", "%q is not an absolute path", c.Directory)
	}
	for _, h := range s.Hosts {
		switch {
		case h.ID == c.Host && h.Directory == c.Directory:
			return nil, nil
		case h.ID == c.Host:
			return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "host %q has the directory %s", h.ID, h.Directory).At("/directory")
		case c.Directory != "" && h.Directory == c.Directory:
			return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "the directory belongs to host %q", h.ID).At("/directory")
		}
	}
	return []Event{HostAdded(c)}, nil
}

// HostAdded makes a host part of the site.
type HostAdded struct {
	Host      string    `json:"host"`
	Directory string    `json:"directory,omitempty"`
	At        time.Time `json:"at"`
}

// EventType implements domain.Event.
func (HostAdded) EventType() string { return "site.host_added.v1" }

func (e HostAdded) evolve(s State) State {
	s.Hosts = append(slices.Clone(s.Hosts), Host{ID: e.Host, Directory: e.Directory})
	return s
}

// RemoveHost takes a host and its VMs out of a site. Removing one that is not
// there changes nothing.
type RemoveHost struct {
	Host   string
	UsedBy []string // the protected items whose source or recovery side it is
	At     time.Time
}

func (c RemoveHost) decide(s State) ([]Event, error) {
	if !s.Registered {
		return nil, domain.Reject(domain.NotFound, errorcatalog.SiteNotFound, "the site is not registered")
	}
	if _, ok := s.Host(c.Host); !ok {
		return nil, nil
	}
	if len(c.UsedBy) > 0 {
		return nil, domain.Reject(domain.Conflict, errorcatalog.InUse, "host %q is used by %s", c.Host, strings.Join(c.UsedBy, ", "))
	}
	return []Event{HostRemoved{Host: c.Host, At: c.At}}, nil
}

// HostRemoved takes a host and everything found on it out of the site.
type HostRemoved struct {
	Host string    `json:"host"`
	At   time.Time `json:"at"`
}

// EventType implements domain.Event.
func (HostRemoved) EventType() string { return "site.host_removed.v1" }

func (e HostRemoved) evolve(s State) State {
	s.Hosts = slices.DeleteFunc(slices.Clone(s.Hosts), func(h Host) bool { return h.ID == e.Host })
	s.Clouds = slices.Clone(s.Clouds)
	for i, c := range s.Clouds {
		s.Clouds[i].Hosts = slices.DeleteFunc(slices.Clone(c.Hosts), func(h string) bool { return h == e.Host })
	}
	return s
}
