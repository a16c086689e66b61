package agentapi

import (
	"context"
	"sync"

	"github.com/tallystick/tallystick/internal/audit"
)

// mostInstances bounds the instances that are remembered.
const mostInstances = 10_000

// An instance is one place where an agent runs.
type instance struct {
	agent   string
	details clientDetails
}

// instances are those that were recorded while this server runs.
type instances struct {
	mu   sync.Mutex
	seen map[instance]bool
}

// add tells whether an instance is new.
func (n *instances) add(i instance) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[i] {
		return false
	}
	if n.seen == nil || len(n.seen) >= mostInstances {
		n.seen = map[instance]bool{}
	}
	n.seen[i] = true
	return true
}

// inventory records what an instance of an agent tells of itself, once while this server runs (section 3.2). That this
// fails is no reason to refuse a user.
func (s *Server) inventory(c *call, d clientDetails) {
	for _, text := range []*string{&d.Hostname, &d.SoftwareID, &d.Version, &d.Component, &d.Platform} {
		*text = cut(*text, 128)
	}
	if d == (clientDetails{}) || !s.instances.add(instance{c.source.Agent, d}) {
		return
	}
	err := s.Store.Transact(c.Context(), func(ctx context.Context) error {
		return s.Store.Record(ctx, audit.New(ctx, s.Now(), "agent.instance", c.source.Agent, audit.Details{
			"hostname": d.Hostname, "software_id": d.SoftwareID, "version": d.Version, "component": d.Component, "platform": d.Platform,
		}))
	})
	if err != nil {
		s.Logger.ErrorContext(c.Context(), "recording an instance of an agent", "error", err)
	}
}
