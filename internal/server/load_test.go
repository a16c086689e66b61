package server_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

// A server that is killed while it stores the items of a job leaves nothing of it: its name is free, and no serial is given out twice. Others have
// written meanwhile.
func TestKillWhileAJobIsLoaded(t *testing.T) {
	if testing.Short() {
		t.Skip("the tests of jobs abandon them while they are loaded as well")
	}
	t.Run("SQLite", func(t *testing.T) {
		p := start(t, folder(t))
		killedLoad(t, p, p)
		p = start(t, p.data)
		afterKilledLoad(t, p)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		database := storetest.Postgres(t)
		first, second := pair(t, database)
		killedLoad(t, first, second)
		j, err := second.admin().Job(t.Context(), "big")
		if must(t, j, err).State != "loading" {
			t.Errorf("left: %+v", j)
		}
		db, err := pgx.Connect(t.Context(), database)
		must(t, 0, err)
		defer db.Close(context.WithoutCancel(t.Context()))
		_, err = db.Exec(t.Context(), "UPDATE job SET loading_until = 1 WHERE state = 'loading'") // its lease is over
		must(t, 0, err)
		afterKilledLoad(t, second)
		var left int
		must(t, 0, db.QueryRow(t.Context(), "SELECT count(*) FROM job_item WHERE job_id = $1", j.Job).Scan(&left))
		if left != 0 {
			t.Errorf("%d items are left", left)
		}
	})
}

// killedLoad kills a server in the middle of a job that it loads, which others see.
func killedLoad(t *testing.T, p, other *process) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if j, err := p.admin().StartCreation(ctx, client.TokenCreation{Count: 300_000, Name: "big"}); err == nil {
			t.Errorf("started %+v", j)
		}
	}()
	poll(t, "the job to be loaded", func() bool {
		j, err := other.admin().Job(t.Context(), "big")
		if err != nil {
			return false
		}
		if j.State != "loading" || j.Over() || j.Done != 0 {
			t.Fatalf("while it is loaded: %+v", j)
		}
		return j.Total > 3000
	})
	user, err := other.admin().AddUser(t.Context(), client.NewUser{UserID: "meanwhile"})
	must(t, user, err)
	p.kill()
	leave() // otherwise the client asks again
	<-gone
}

func afterKilledLoad(t *testing.T, p *process) {
	t.Helper()
	before, err := p.admin().CreateTokens(t.Context(), client.NewTokens{Count: 1})
	must(t, before, err)
	j, err := p.admin().StartCreation(t.Context(), client.TokenCreation{Count: 1500, Name: "big"})
	must(t, j, err)
	j, err = p.admin().WatchJob(t.Context(), j.Job, func(client.Job) {})
	if must(t, j, err).State != "done" || j.Done != 1500 {
		t.Errorf("the job of the same name: %+v", j)
	}
	listed, err := p.admin().Jobs(t.Context(), client.JobFilter{})
	if must(t, listed, err); len(listed.Jobs) != 1 {
		t.Errorf("jobs: %+v", listed.Jobs)
	}
}
