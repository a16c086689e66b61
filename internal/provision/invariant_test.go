package provision_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
)

// Invariant 1 of spec/software-token-lifecycle.md: a seed generation belongs to exactly one token, and no two records ever hold equal seeds.
// Here for redistributions, of one token and of many, by file, compressed string and dynamic provisioning: each makes a seed that no token
// has or had. That records which come in share none is a test of package records, that the database refuses one of storetest.
func TestInvariant01RedistributionMakesNewSeeds(t *testing.T) {
	s := newService(t)
	r := &redistributions{service: s, seen: map[string]string{}, jobs: &job.Registry{Store: s.db, Keys: s.keys, Now: s.Now}}
	for _, w := range s.dist.Workers() {
		r.jobs.Register(w)
	}
	r.results = &distribution.Results{Distributor: s.dist, Jobs: r.jobs}
	profiles := &profile.Registry{Store: s.db, Devices: &device.Registry{Store: s.db, Now: s.Now}, Now: s.Now}
	for name, method := range map[string]device.Method{"file": device.File, "string": device.CTF} {
		_, err := profiles.Add(s.ctx, profile.Profile{Name: name, DeviceType: "generic", Method: method, PINType: device.NoPIN, Protection: profile.NoPassword, Grace: -1})
		s.must(err)
	}
	const many = 3
	for _, method := range []string{"file", "string", "app"} {
		serials := r.tokens(method, 1+many)
		for round := 1; round <= 3; round++ {
			one := distribution.Request{Serial: serials[0], Profile: method, Grace: -1}
			all := distribution.Bulk{Profile: method, Grace: -1}
			var out distribution.Delivery
			var err error
			if round == 1 {
				out, err = s.dist.Distribute(s.ctx, one)
			} else {
				out, err = s.dist.Redistribute(s.ctx, one, distribution.Compromised, "")
				all.Reason = distribution.Compromised
			}
			s.must(err)
			codes := append(r.bulk(all, serials[1:]), out.ActivationCode)
			for _, code := range codes {
				if code == "" {
					continue
				}
				_, err := s.provision(code)
				s.must(err)
			}
			for _, serial := range serials {
				r.fresh(serial)
			}
			s.Pass(time.Minute)
		}
	}
	if len(r.seen) != 3*(1+many)*3 {
		t.Errorf("%d seeds", len(r.seen))
	}
}

// redistributions are tokens whose seeds were noted.
type redistributions struct {
	*service
	jobs    *job.Registry
	results *distribution.Results
	seen    map[string]string // generations by seed
}

// tokens makes tokens of as many users.
func (r *redistributions) tokens(prefix string, n int) []string {
	r.Helper()
	serials, err := (&records.Registry{Store: r.db, Keys: r.keys, Now: r.Now}).Create(r.ctx, n, time.Time{}, time.Time{})
	r.must(err)
	for i, serial := range serials {
		id := fmt.Sprint(prefix, i)
		_, err := (&user.Registry{Store: r.db, Now: r.Now}).Add(r.ctx, user.User{ID: id})
		r.must(err)
		_, err = r.service.tokens.Assign(r.ctx, serial, id)
		r.must(err)
	}
	return serials
}

// bulk does a job and returns the activation codes that it made.
func (r *redistributions) bulk(b distribution.Bulk, serials []string) (codes []string) {
	r.Helper()
	o, err := r.dist.Order(r.ctx, b)
	r.must(err)
	o.Items = func(yield func(job.NewItem, error) bool) {
		for _, serial := range serials {
			item, err := distribution.Item(token.Chosen{Serial: serial}, "")
			if !yield(item, err) {
				return
			}
		}
	}
	j, err := r.jobs.Start(r.ctx, o)
	r.must(err)
	r.must(r.jobs.RunAll(r.ctx))
	j, err = r.jobs.Show(r.ctx, j.ID)
	r.must(err)
	if j.Done != len(serials) {
		r.Fatalf("the job ended as %+v", j)
	}
	if b.Profile != "app" {
		return nil
	}
	write, err := r.results.Open(r.ctx, j, distribution.List)
	r.must(err)
	var out bytes.Buffer
	r.must(write(&out))
	rows, err := csv.NewReader(&out).ReadAll()
	r.must(err)
	at := slices.Index(rows[0], "activation_code")
	for _, row := range rows[1:] {
		codes = append(codes, row[at])
	}
	if len(codes) != len(serials) {
		r.Fatalf("%d activation codes", len(codes))
	}
	return codes
}

// fresh notes the seed that a token has now, which must be a new one under a new number.
func (r *redistributions) fresh(serial string) {
	r.Helper()
	tok, err := r.service.tokens.Get(r.ctx, serial)
	r.must(err)
	if tok.Pending != nil {
		r.Errorf("token %s has two seeds", serial)
	}
	held, err := r.keys.OpenSeed(r.ctx, tok.Current.Sealed, serial, tok.Current.Number)
	r.must(err)
	defer held.Erase()
	name := fmt.Sprintf("generation %d of %s", tok.Current.Number, serial)
	raw := string(held.Reveal())
	if twin, is := r.seen[raw]; is {
		r.Errorf("%s has the seed of %s", name, twin)
	}
	for _, other := range r.seen {
		if other == name {
			r.Errorf("%s has two seeds", name)
		}
	}
	r.seen[raw] = name
}
