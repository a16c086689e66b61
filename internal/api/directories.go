package api

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/domain"
)

// directoryOf shows a directory with the defaults of its kind.
func directoryOf(d directory.Directory) client.Directory {
	if whole, err := d.Completed(); err == nil { // it was checked when it was stored
		d = whole
	}
	out := client.Directory{
		Directory: d.Name, Kind: string(d.Kind), URL: d.URL, StartTLS: d.StartTLS, CA: d.CA, BindDN: d.BindDN, BaseDN: d.BaseDN, Filter: d.Filter,
		UserID: d.ID, Name: d.Mapping.Name, Mail: d.Mail, DisabledBy: mapped(d.DisabledBy, func(a string) string { return a }), LowerCase: d.LowerCase,
		Groups: string(d.Groups), GroupBase: d.GroupBase, GroupFilter: d.GroupFilter, PageSize: d.PageSize, MaxLost: d.MaxLost, Adopt: d.Adopt,
		Domain: domain.Show(d.Domain), EverySeconds: int64(d.Every / time.Second), CreatedAt: d.CreatedAt, Version: d.Version,
	}
	if !d.Last.At.IsZero() {
		out.Last = &client.DirectoryLast{At: d.Last.At, Code: d.Last.Code, Message: d.Last.Message}
	}
	return out
}

// edited changes what the caller has given.
func editedDirectory(d *directory.Directory, in client.DirectoryEdit) {
	set(&d.URL, in.URL)
	set(&d.StartTLS, in.StartTLS)
	set(&d.CA, in.CA)
	set(&d.BindDN, in.BindDN)
	set(&d.BaseDN, in.BaseDN)
	set(&d.Filter, in.Filter)
	set(&d.ID, in.UserID)
	set(&d.Mapping.Name, in.Name)
	set(&d.Mail, in.Mail)
	set(&d.DisabledBy, in.DisabledBy)
	set(&d.LowerCase, in.LowerCase)
	if in.Groups != nil {
		d.Groups = directory.Groups(*in.Groups)
	}
	set(&d.GroupBase, in.GroupBase)
	set(&d.GroupFilter, in.GroupFilter)
	set(&d.PageSize, in.PageSize)
	set(&d.MaxLost, in.MaxLost)
	set(&d.Adopt, in.Adopt)
	if in.EverySeconds != nil {
		d.Every = time.Duration(*in.EverySeconds) * time.Second
	}
}

func (a *API) addDirectory(ctx context.Context, _ *request, in client.NewDirectory) (answer, error) {
	d := directory.Directory{Name: in.Directory, Kind: directory.Kind(in.Kind), Domain: domain.Parse(in.Domain)}
	editedDirectory(&d, in.DirectoryEdit)
	var password client.Secret
	set(&password, in.Password)
	d, err := a.Directories.Add(ctx, d, string(password))
	if err != nil {
		return answer{}, err
	}
	return created(at("directories", d.Name), d.Version, directoryOf(d))
}

func (a *API) listDirectories(ctx context.Context, _ *request) (answer, error) {
	all, err := a.Directories.List(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.DirectoryList{Directories: mapped(all, directoryOf)})
}

func (a *API) showDirectory(ctx context.Context, r *request) (answer, error) {
	return shownDirectory(a.Directories.Get(ctx, r.PathValue("name")))
}

func shownDirectory(d directory.Directory, err error) (answer, error) {
	return record(d, d.Version, directoryOf, err)
}

func (a *API) editDirectory(ctx context.Context, r *request, in client.DirectoryEdit) (answer, error) {
	var password *string
	if in.Password != nil {
		text := string(*in.Password)
		password = &text
	}
	return shownDirectory(a.Directories.Edit(ctx, r.PathValue("name"), r.version, password, func(d *directory.Directory) { editedDirectory(d, in) }))
}

func (a *API) deleteDirectory(ctx context.Context, r *request) (answer, error) {
	return done(a.Directories.Delete(ctx, r.PathValue("name")))
}

func (a *API) testDirectory(ctx context.Context, r *request) (answer, error) {
	found, err := a.Directories.Test(ctx, r.PathValue("name"))
	if err != nil {
		return answer{}, err
	}
	return ok(client.DirectoryTest{Found: found.Found, Skipped: found.Skipped, Referrals: found.Referrals})
}

func (a *API) syncDirectory(ctx context.Context, r *request, in client.SyncWish) (answer, error) {
	done, err := a.Directories.Sync(ctx, r.PathValue("name"), in.DryRun, in.Force)
	if err != nil {
		return answer{}, err
	}
	return ok(client.DirectorySync{Found: done.Found, Skipped: done.Skipped, Referrals: done.Referrals, Missing: done.Missing, Joined: done.Joined, Left: done.Left,
		Users: appliedUsers(done.Result, in.DryRun)})
}
