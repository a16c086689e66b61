// Package api is the management API: HTTP and JSON for administrators, the
// command line and programs.
//
// openapi.yaml is what it promises. Each request is held against that document
// before a handler sees it, each answer in the tests; the rights in the table
// of [API.routes] and the Go types of package client are compared with it too.
//
// A request passes, in this order: who asks ([API.Public], [API.Local]), the
// right that its route needs, the document (contract.go), and, where the
// caller sent an Idempotency-Key, the answer that was given before (once.go).
// Handlers then call the domain; what they return is shown in one place, and
// refusals in another (problem.go). Bodies and keys are never logged.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/care"
	"github.com/tallystick/tallystick/internal/clock"
	"github.com/tallystick/tallystick/internal/directory"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/policy"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/records"
	"github.com/tallystick/tallystick/internal/report"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/throttle"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/transfer"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/internal/webhook"
)

// Store is what the API itself needs of the database.
type Store interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
	// OpenOffers returns when the open activation codes of tokens expire, by serial; tokens without one are left out.
	OpenOffers(ctx context.Context, serials []string) (map[string]time.Time, error)
	// Guards returns what is remembered of the sign-ins of users, by their IDs.
	Guards(ctx context.Context, userIDs []string) (map[string]authentication.Guard, error)
	// UserDomains returns the security domains of users by their IDs, whatever the scope of ctx; those at the root are left out.
	UserDomains(ctx context.Context, userIDs []string) (map[string]string, error)
	// KeptReply returns the request and the sealed answer that were kept for an actor's key; fault.NotFound. An answer
	// that was destroyed with a seed has no blob.
	KeptReply(ctx context.Context, actor, key string) (request []byte, reply seed.Sealed, err error)
	// KeepReply keeps them from a moment on, for a day; fault.Conflict if the key has an answer already.
	// It is destroyed when the generation of the token is whose serial number is given ("" for none).
	KeepReply(ctx context.Context, actor, key string, request []byte, serial string, generation int, reply seed.Sealed, at time.Time) error
}

// A Config is what the API is made of. Every field must be set.
type Config struct {
	Users         *user.Registry
	Groups        *user.Groups
	Domains       *domain.Registry
	Directories   *directory.Registry
	Profiles      *profile.Registry
	Policies      *policy.Registry
	Tokens        *token.Registry
	Care          *care.Jobs
	Keys          *access.Registry
	Agents        *access.Agents
	RADIUS        *access.RADIUSRegistry
	UserReplies   *access.UserReplies
	Records       *records.Registry
	Distributor   *distribution.Distributor
	Authenticator *authentication.Engine
	Reports       *report.Registry
	Clock         *clock.Guard
	Jobs          *job.Registry
	Webhooks      *webhook.Registry
	Mail          *mail.Outbox
	Mailer        *mail.Sender
	SignIn        *mail.SignIn
	Backup        *backup.Taker
	Transfer      *transfer.Deployment
	Keyring       *seed.Keyring
	Log           *audit.Log
	VerifierKey   string // of the audit log's checkpoints
	Spool         string // folder where files are kept, sealed and without a name, while they are read
	UploadLimit   int64  // of one such file, bytes
	Store         Store
	Stopping      <-chan struct{} // closed when the server stops: then nobody is kept waiting
	Now           func() time.Time
	Logger        *slog.Logger
}

// An API answers requests. It is safe for concurrent use.
type API struct {
	Config
	contract *contract
	mux      *http.ServeMux
	guesses  *limiter
	subjects *throttle.Throttle // of authenticate
	busy     rate.Sometimes     // says that there is no room
}

// noRoute is the pattern of what no route fits.
const noRoute = "/"

// New makes the API.
func New(c Config) (*API, error) {
	contract, err := loadContract()
	if err != nil {
		return nil, err
	}
	a := &API{Config: c, contract: contract, mux: http.NewServeMux(), guesses: newLimiter(c.Now), subjects: throttle.New(throttle.SubjectRate, throttle.SubjectBurst), busy: rate.Sometimes{Interval: busySaid}}
	for _, route := range a.routes() {
		op, err := contract.operation(route.pattern)
		if err != nil {
			return nil, err
		}
		a.mux.Handle(route.pattern, a.guard(route, op))
	}
	a.mux.Handle(noRoute, a.show(a.unknown))
	return a, nil
}

// A handler does the work of one route. An error is shown by [API.refuse].
type handler func(ctx context.Context, r *request) (answer, error)

// takes has a route's work done with the document in the body of its requests.
func takes[T any](do func(ctx context.Context, r *request, in T) (answer, error)) handler {
	return func(ctx context.Context, r *request) (answer, error) {
		in, err := decode[T](r)
		if err != nil {
			return answer{}, err
		}
		return do(ctx, r, in)
	}
}

// A route is one thing that can be asked for.
type route struct {
	pattern string
	need    access.Right // "" if every key will do
	do      handler
	before  func(context.Context) error // runs outside the transaction of an idempotency key; may be nil
}

// routes are all that can be asked for, and by whom.
func (a *API) routes() []route {
	prepare := a.Distributor.Prepare
	return []route{
		{"GET /v1/whoami", "", a.whoAmI, nil},
		{"GET /v1/openapi.yaml", "", a.document, nil},

		{"POST /v1/users", access.ManageUsers, takes(a.addUser), nil},
		{"GET /v1/users", access.Read, a.listUsers, nil},
		{"POST /v1/users/import", access.ManageUsers, takes(a.importUsers), nil},
		{"GET /v1/users/{user_id}", access.Read, a.showUser, nil},
		{"PATCH /v1/users/{user_id}", access.ManageUsers, takes(a.editUser), nil},
		{"DELETE /v1/users/{user_id}", access.ManageUsers, a.deleteUser, nil},
		{"GET /v1/users/{user_id}/reply-attributes", access.Read, a.showUserReply, nil},
		{"PUT /v1/users/{user_id}/reply-attributes", access.ManageUsers, takes(a.setUserReply), nil},
		{"GET /v1/users/{user_id}/activity", access.ViewActivity, a.userActivity, nil},
		{"POST /v1/users/{user_id}/unlock", access.CareTokens, a.unlockUser, nil},
		{"PUT /v1/users/{user_id}/fixed-passcode", access.ManageTokens, takes(a.setFixedPasscode), nil},
		{"DELETE /v1/users/{user_id}/fixed-passcode", access.CareTokens, a.clearFixedPasscode, nil},
		{"PUT /v1/users/{user_id}/on-demand", access.CareTokens, takes(a.setOnDemand), nil},
		{"DELETE /v1/users/{user_id}/on-demand", access.CareTokens, a.clearOnDemand, nil},

		{"POST /v1/groups", access.ManageUsers, takes(a.addGroup), nil},
		{"GET /v1/groups", access.Read, a.listGroups, nil},
		{"GET /v1/groups/{group}", access.Read, a.showGroup, nil},
		{"PATCH /v1/groups/{group}", access.ManageUsers, takes(a.editGroup), nil},
		{"DELETE /v1/groups/{group}", access.ManageUsers, a.deleteGroup, nil},
		{"POST /v1/directories", access.ManageSources, takes(a.addDirectory), nil},
		{"GET /v1/directories", access.Read, a.listDirectories, nil},
		{"GET /v1/directories/{name}", access.Read, a.showDirectory, nil},
		{"PATCH /v1/directories/{name}", access.ManageSources, takes(a.editDirectory), nil},
		{"DELETE /v1/directories/{name}", access.ManageSources, a.deleteDirectory, nil},
		{"POST /v1/directories/{name}/test", access.ManageSources, a.testDirectory, nil},
		{"POST /v1/directories/{name}/sync", access.ManageSources, takes(a.syncDirectory), nil},
		{"POST /v1/domains", access.ManageDomains, takes(a.addDomain), nil},
		{"GET /v1/domains", access.Read, a.listDomains, nil},
		{"GET /v1/domains/{domain}", access.Read, a.showDomain, nil},
		{"PATCH /v1/domains/{domain}", access.ManageDomains, takes(a.editDomain), nil},
		{"DELETE /v1/domains/{domain}", access.ManageDomains, a.deleteDomain, nil},
		{"POST /v1/domains/{domain}/objects", access.ManageDomains, takes(a.putObjects), nil},
		{"POST /v1/groups/{group}/members", access.ManageUsers, takes(a.changeMembers), nil},

		{"GET /v1/devices", access.Read, a.listDevices, nil},
		{"GET /v1/devices/{device_type}", access.Read, a.showDevice, nil},
		{"POST /v1/devices/import", access.ManageProfiles, takes(a.importDevices), nil},
		{"DELETE /v1/devices/{device_type}", access.ManageProfiles, a.deleteDevice, nil},
		{"POST /v1/profiles", access.ManageProfiles, takes(a.addProfile), nil},
		{"GET /v1/profiles", access.Read, a.listProfiles, nil},
		{"GET /v1/profiles/{profile}", access.Read, a.showProfile, nil},
		{"PATCH /v1/profiles/{profile}", access.ManageProfiles, takes(a.editProfile), nil},
		{"DELETE /v1/profiles/{profile}", access.ManageProfiles, a.deleteProfile, nil},

		{"GET /v1/policies", access.Read, a.listPolicies, nil},
		{"GET /v1/policies/token", access.Read, a.showTokenPolicy, nil},
		{"PATCH /v1/policies/token", access.ManagePolicies, takes(a.editTokenPolicy), nil},
		{"GET /v1/policies/lockout", access.Read, a.showLockoutPolicy, nil},
		{"PATCH /v1/policies/lockout", access.ManagePolicies, takes(a.editLockoutPolicy), nil},

		{"GET /v1/domains/{domain}/policies", access.Read, a.listPolicies, nil},
		{"GET /v1/domains/{domain}/policies/token", access.Read, a.showTokenPolicy, nil},
		{"PATCH /v1/domains/{domain}/policies/token", access.ManagePolicies, takes(a.editTokenPolicy), nil},
		{"DELETE /v1/domains/{domain}/policies/token", access.ManagePolicies, a.inheritTokenPolicy, nil},
		{"GET /v1/domains/{domain}/policies/lockout", access.Read, a.showLockoutPolicy, nil},
		{"PATCH /v1/domains/{domain}/policies/lockout", access.ManagePolicies, takes(a.editLockoutPolicy), nil},
		{"DELETE /v1/domains/{domain}/policies/lockout", access.ManagePolicies, a.inheritLockoutPolicy, nil},

		{"GET /v1/settings", access.Read, a.showSettings, nil},
		{"PATCH /v1/settings", access.ManagePolicies, takes(a.editSettings), nil},

		{"POST /v1/configuration", access.Read, takes(a.configure), nil},

		{"POST /v1/tokens", access.ManageTokens, takes(a.createTokens), nil},
		{"POST /v1/tokens/import", access.ManageTokens, takes(a.importTokens), nil},
		{"POST /v1/tokens/create", access.ManageTokens, takes(a.startCreate), nil},
		{"POST /v1/imports", access.ManageTokens, a.startImport, nil},
		{"GET /v1/transfer/key", access.Read, a.transferKey, nil},
		{"POST /v1/transfer/export", access.ExportTokens, takes(a.exportTokens), nil},
		{"POST /v1/transfer/import", access.ManageTokens, a.receiveTokens, nil},
		{"GET /v1/tokens", access.Read, a.listTokens, nil},
		{"GET /v1/tokens/{serial}", access.Read, a.showToken, nil},
		{"GET /v1/tokens/{serial}/activity", access.ViewActivity, a.tokenActivity, nil},
		{"DELETE /v1/tokens/{serial}", access.ManageTokens, a.deleteToken, nil},
		{"POST /v1/tokens/assign", access.ManageTokens, takes(a.assignMany), nil},
		{"POST /v1/tokens/assign-next", access.ManageTokens, takes(a.assignNext), nil},
		{"POST /v1/tokens/{serial}/assign", access.ManageTokens, takes(a.assign), nil},
		{"POST /v1/tokens/{serial}/unassign", access.ManageTokens, a.unassign, nil},
		{"POST /v1/tokens/{serial}/replace", access.ManageTokens, takes(a.replace), nil},
		{"POST /v1/tokens/{serial}/enable", access.CareTokens, a.enable, nil},
		{"POST /v1/tokens/{serial}/disable", access.CareTokens, a.disable, nil},
		{"PATCH /v1/tokens/{serial}", access.CareTokens, takes(a.editLabel), nil},
		{"POST /v1/tokens/{serial}/extend", access.ManageTokens, takes(a.extend), nil},
		{"POST /v1/tokens/enable", care.Rights[care.Enable], a.careFor(care.Enable), nil},
		{"POST /v1/tokens/disable", care.Rights[care.Disable], a.careFor(care.Disable), nil},
		{"POST /v1/tokens/clear-ntc", care.Rights[care.ClearNTC], a.careFor(care.ClearNTC), nil},
		{"POST /v1/tokens/unassign", care.Rights[care.Unassign], a.careFor(care.Unassign), nil},
		{"POST /v1/tokens/delete", care.Rights[care.Delete], a.careFor(care.Delete), nil},
		{"POST /v1/tokens/replace", care.Rights[care.Replace], takes(a.replaceMany), nil},
		{"POST /v1/tokens/extend", care.Rights[care.Extend], takes(a.extendMany), nil},
		{"GET /v1/extensions", access.Read, a.listExtensions, nil},
		{"POST /v1/tokens/{serial}/reset-issue-count", access.ManageTokens, a.resetIssueCount, nil},
		{"PUT /v1/tokens/{serial}/pin", access.CareTokens, takes(a.setPIN), nil},
		{"DELETE /v1/tokens/{serial}/pin", access.CareTokens, a.clearPIN, nil},
		{"POST /v1/tokens/{serial}/pin/expire", access.CareTokens, a.expirePIN, nil},
		{"POST /v1/tokens/{serial}/resync", access.CareTokens, takes(a.resync), nil},
		{"POST /v1/tokens/{serial}/lost", access.CareTokens, takes(a.reportLost), nil},
		{"POST /v1/tokens/{serial}/found", access.CareTokens, a.reportFound, nil},
		{"POST /v1/tokens/distribute", access.Distribute, takes(a.distributeMany), nil},
		{"POST /v1/tokens/cut-off", access.Redistribute, takes(a.cutOff), nil},
		{"POST /v1/tokens/redistribute", access.Redistribute, takes(a.redistributeMany), nil},
		{"POST /v1/tokens/{serial}/distribute", access.Distribute, takes(a.distribute), prepare},
		{"POST /v1/tokens/{serial}/redistribute", access.Redistribute, takes(a.redistribute), prepare},
		{"POST /v1/tokens/{serial}/revoke", access.Distribute, a.revoke, nil},

		{"GET /v1/jobs", "", a.listJobs, nil},
		{"GET /v1/jobs/{job}", "", a.showJob, nil},
		{"GET /v1/jobs/{job}/items", "", a.jobItems, nil},
		{"GET /v1/jobs/{job}/events", "", a.watchJob, nil},
		{"GET /v1/jobs/{job}/campaign", access.Read, a.campaign, nil},
		{"POST /v1/jobs/{job}/offer-again", access.Redistribute, a.offerAgain, nil},
		{"GET /v1/jobs/{job}/parts", access.Read, a.jobParts, nil},
		{"GET /v1/jobs/{job}/parts/{part}", access.ViewDeliveries, a.downloadPart, nil},
		{"POST /v1/jobs/{job}/approve", access.ApproveJobs, a.approveJob, nil},
		{"POST /v1/jobs/{job}/reject", access.ApproveJobs, takes(a.rejectJob), nil},
		{"POST /v1/jobs/{job}/cancel", "", a.cancelJob, nil},
		{"POST /v1/jobs/{job}/resume", "", takes(a.resumeJob), nil},

		{"POST /v1/authenticate", access.Authenticate, takes(a.authenticate), nil},

		{"POST /v1/radius-clients", access.ManageAgents, takes(a.addRADIUSClient), nil},
		{"GET /v1/radius-clients", access.Read, a.listRADIUSClients, nil},
		{"GET /v1/radius-clients/{name}", access.Read, a.showRADIUSClient, nil},
		{"PATCH /v1/radius-clients/{name}", access.ManageAgents, takes(a.editRADIUSClient), nil},
		{"DELETE /v1/radius-clients/{name}", access.ManageAgents, a.deleteRADIUSClient, nil},

		{"POST /v1/api-keys", access.ManageKeys, takes(a.addKey), nil},
		{"GET /v1/api-keys", access.ManageKeys, a.listKeys, nil},
		{"DELETE /v1/api-keys/{name}", access.ManageKeys, a.deleteKey, nil},
		{"POST /v1/data-keys/rotate", access.ManageKeys, a.rotate, nil},

		{"POST /v1/agents", access.ManageAgents, takes(a.addAgent), nil},
		{"GET /v1/agents", access.Read, a.listAgents, nil},
		{"GET /v1/agents/{agent}", access.Read, a.showAgent, nil},
		{"PATCH /v1/agents/{agent}", access.ManageAgents, takes(a.editAgent), nil},
		{"DELETE /v1/agents/{agent}", access.ManageAgents, a.deleteAgent, nil},
		{"POST /v1/agents/{agent}/credentials", access.ManageAgents, takes(a.addCredential), nil},
		{"GET /v1/agents/{agent}/credentials", access.Read, a.listCredentials, nil},
		{"PATCH /v1/agent-credentials/{access_id}", access.ManageAgents, takes(a.editCredential), nil},
		{"DELETE /v1/agent-credentials/{access_id}", access.ManageAgents, a.deleteCredential, nil},

		{"GET /v1/statistics", access.Read, a.statistics, nil},
		{"GET /v1/reports", access.Read, a.listReports, nil},
		{"GET /v1/reports/{report}", access.Read, a.showReport, nil},
		{"POST /v1/report-runs", access.ManageReports, takes(a.addReportRun), nil},
		{"GET /v1/report-runs", access.Read, a.listReportRuns, nil},
		{"GET /v1/report-runs/{run}", access.Read, a.showReportRun, nil},
		{"GET /v1/report-runs/{run}/content", access.Read, a.downloadReport, nil},
		{"DELETE /v1/report-runs/{run}", access.ManageReports, a.deleteReportRun, nil},
		{"POST /v1/report-schedules", access.ManageReports, takes(a.addReportSchedule), nil},
		{"GET /v1/report-schedules", access.Read, a.listReportSchedules, nil},
		{"DELETE /v1/report-schedules/{schedule}", access.ManageReports, a.deleteReportSchedule, nil},

		{"GET /v1/clock-offsets", access.Operate, a.clockOffsets, nil},
		{"GET /v1/clock-offsets/tokens", access.Operate, a.offTokens, nil},
		{"POST /v1/clock-corrections", care.Rights[care.CorrectClock], takes(a.correctClocks), nil},
		{"GET /v1/clock-corrections", access.Operate, a.listCorrections, nil},
		{"GET /v1/clock-corrections/{correction}", access.Operate, a.showCorrection, nil},
		{"POST /v1/clock-corrections/{correction}/undo", care.Rights[care.UndoClock], takes(a.undoCorrection), nil},
		{"GET /v1/clock", access.Operate, a.showClock, nil},
		{"POST /v1/clock/confirm", access.Operate, a.confirmClock, nil},
		{"POST /v1/backup", access.Operate, takes(a.takeBackup), nil},

		{"GET /v1/mail/settings", access.Read, a.showMailSettings, nil},
		{"PATCH /v1/mail/settings", access.ManageMail, takes(a.editMailSettings), nil},
		{"POST /v1/mail/settings/test", access.ManageMail, takes(a.testMail), nil},
		{"GET /v1/mail/templates", access.Read, a.listMailTemplates, nil},
		{"GET /v1/mail/templates/{event}", access.Read, a.showMailTemplate, nil},
		{"PUT /v1/mail/templates/{event}", access.ManageMail, takes(a.saveMailTemplate), nil},
		{"DELETE /v1/mail/templates/{event}", access.ManageMail, a.resetMailTemplate, nil},
		{"POST /v1/mail/templates/{event}/preview", access.Read, takes(a.previewMailTemplate), nil},
		{"GET /v1/mail/messages", access.Read, a.listMail, nil},
		{"GET /v1/mail/messages/{message}", access.Read, a.showMail, nil},
		{"POST /v1/mail/messages/{message}/resend", access.Distribute, a.resendMail, nil},
		{"POST /v1/mail/messages/{message}/cancel", access.Distribute, a.cancelMail, nil},
		{"POST /v1/mail/reminders", access.Distribute, takes(a.remind), nil},
		{"POST /v1/mail/release", access.Authenticate, takes(a.releaseMail), nil},

		{"POST /v1/webhooks", access.ManageWebhooks, takes(a.addWebhook), nil},
		{"GET /v1/webhooks", access.ManageWebhooks, a.listWebhooks, nil},
		{"GET /v1/webhooks/{name}", access.ManageWebhooks, a.showWebhook, nil},
		{"PATCH /v1/webhooks/{name}", access.ManageWebhooks, takes(a.editWebhook), nil},
		{"DELETE /v1/webhooks/{name}", access.ManageWebhooks, a.deleteWebhook, nil},
		{"POST /v1/webhooks/{name}/test", access.ManageWebhooks, a.testWebhook, nil},
		{"GET /v1/changes", access.ReadChanges, a.changes, nil},
		{"GET /v1/audit/events", access.ReadAudit, a.auditEvents, nil},
		{"GET /v1/audit/entries", access.ReadAudit, a.auditEntries, nil},
		{"GET /v1/audit/checkpoints", access.ReadAudit, a.auditCheckpoints, nil},
		{"GET /v1/audit/verifier-key", access.ReadAudit, a.auditVerifierKey, nil},
		{"GET /v1/audit/pending", access.ReadAudit, a.auditPending, nil},
	}
}
