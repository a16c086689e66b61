// Package fault holds the refusals of Tallystick: errors that tell a person
// what the input or the state does not allow and what to do next, each under
// a stable code that scripts may rely on.
//
// The codes are those of spec/software-token-lifecycle.md and spec/cli.md. A
// transport turns an [*Error] into its own form (problem details, an exit
// status, a SOAP fault); any other error is a defect or an outage, whose text
// belongs in the log and not in an answer.
//
//	if errors.Is(err, fault.TokenLimit) { ... }
package fault

import (
	"errors"
	"fmt"
)

// A Code names one kind of refusal. It never changes once released. A Code is
// an error itself, so that errors.Is(err, fault.Conflict) works on any chain.
type Code string

// Error returns the code as text.
func (c Code) Error() string { return string(c) }

// Refusals of any part of the system.
const (
	Invalid       Code = "INVALID"        // the request is not well formed
	Unauthorized  Code = "UNAUTHORIZED"   // who asks is not known
	Forbidden     Code = "FORBIDDEN"      // who asks may not do this
	OutOfScope    Code = "OUT_OF_SCOPE"   // who asks may do this, but not here: it is outside of the security domain
	NotFound      Code = "NOT_FOUND"      // no such thing
	Conflict      Code = "CONFLICT"       // changed meanwhile: read again
	TooLarge      Code = "TOO_LARGE"      // input over a limit
	TooMany       Code = "TOO_MANY"       // asked too often
	Unavailable   Code = "UNAVAILABLE"    // cannot be decided now: try again
	KeyReused     Code = "KEY_REUSED"     // an idempotency key came back with another request
	MasterKey     Code = "MASTER_KEY"     // the master key is missing or not the one of this database
	SchemaNewer   Code = "SCHEMA_NEWER"   // the database belongs to a newer release
	AuditTampered Code = "AUDIT_TAMPERED" // the audit log is not what was signed
	PlaceUnknown  Code = "PLACE_UNKNOWN"  // the audit log ends before that place
	WebhookFailed Code = "WEBHOOK_FAILED" // the receiver did not take a test

	NoSuchMethod Code = "METHOD_NOT_ALLOWED" // the API has the path, for other methods
)

// Messages to users.
const (
	MailOff         Code = "MAIL_OFF"         // mail is not set up, or switched off
	MailMissing     Code = "MAIL_MISSING"     // the user has no address
	MailFailed      Code = "MAIL_FAILED"      // a test was not sent
	CannotSignIn    Code = "CANNOT_SIGN_IN"   // a warning: what is held until the user has signed in will never be sent
	TemplateInvalid Code = "TEMPLATE_INVALID" // of a mail
)

// Users, profiles, devices and policies.
const (
	UserNotFound   Code = "USER_NOT_FOUND"
	UserExists     Code = "USER_EXISTS"
	UserInvalid    Code = "USER_INVALID"
	UserInUse      Code = "USER_IN_USE"
	UserDisabled   Code = "USER_DISABLED" // a warning
	UserExpired    Code = "USER_EXPIRED"  // a warning: her last day is over
	GroupNotFound  Code = "GROUP_NOT_FOUND"
	GroupExists    Code = "GROUP_EXISTS"
	GroupInUse     Code = "GROUP_IN_USE"
	DomainNotFound Code = "DOMAIN_NOT_FOUND"
	DomainExists   Code = "DOMAIN_EXISTS"
	DomainInvalid  Code = "DOMAIN_INVALID"
	DomainInUse    Code = "DOMAIN_IN_USE"

	DirectoryInvalid     Code = "DIRECTORY_INVALID"
	DirectoryUnreachable Code = "DIRECTORY_UNREACHABLE"  // no connection, no trust in its certificate, or it broke off
	DirectoryRefused     Code = "DIRECTORY_REFUSED"      // it does not let us in, or does not find where to look
	DirectorySuspicious  Code = "DIRECTORY_SUSPICIOUS"   // too few people are there: nothing was changed
	DirectoryDuplicate   Code = "DIRECTORY_ID_DUPLICATE" // several people there have one user ID
	DirectoryReused      Code = "DIRECTORY_ID_REUSED"    // another person there has the user ID of one before
	ProfileNotFound      Code = "PROFILE_NOT_FOUND"
	ProfileNameTaken     Code = "PROFILE_NAME_TAKEN"
	ProfileNameBad       Code = "PROFILE_NAME_INVALID"
	ProfileNotAllowed    Code = "PROFILE_OPTION_NOT_ALLOWED_BY_DEVICE"
	ProfileInUse         Code = "PROFILE_IN_USE"
	DeviceNotFound       Code = "DEVICE_DEF_NOT_FOUND"
	DeviceInvalid        Code = "DEVICE_DEF_INVALID"     // the file cannot be read; the message has the line
	DeviceUnsupported    Code = "DEVICE_DEF_UNSUPPORTED" // it asks for what the server cannot do
	DeviceDuplicate      Code = "DEVICE_DEF_DUPLICATE"   // that version, or a newer one, is here already
	DeviceInUse          Code = "DEVICE_DEF_IN_USE"      // profiles would not be valid without it
	PolicyInvalid        Code = "POLICY_INVALID"
	PolicyForbids        Code = "POLICY_FORBIDS" // the token policy of the user does not have this
)

// Token records: made, imported, assigned.
const (
	SeedInUse        Code = "SEED_IN_USE"
	TokenNotFound    Code = "TOKEN_NOT_FOUND"
	TokenAssigned    Code = "TOKEN_ALREADY_ASSIGNED"
	TokenNotAssigned Code = "NOT_ASSIGNED"
	TokenExpired     Code = "TOKEN_EXPIRED"
	TokenLimit       Code = "TOKEN_LIMIT_REACHED"
	NoToken          Code = "NO_TOKEN_AVAILABLE"
	CountMismatch    Code = "COUNT_MISMATCH" // of users and tokens
	SerialsExhausted Code = "SERIALS_EXHAUSTED"
	ImportFormat     Code = "IMPORT_BAD_FORMAT"
	ImportPassword   Code = "IMPORT_BAD_PASSWORD"
	ImportMAC        Code = "IMPORT_MAC_MISMATCH"
	ImportRecord     Code = "IMPORT_RECORD_INVALID"
	ImportDuplicate  Code = "IMPORT_DUPLICATE"
	ImportCancelled  Code = "IMPORT_CANCELLED"
	PINInvalid       Code = "PIN_INVALID"
	LifetimeTooLong  Code = "LIFETIME_TOO_LONG"

	EmergencyNotAllowed Code = "EMERGENCY_NOT_ALLOWED"
	InReplacement       Code = "IN_REPLACEMENT"
	NotExtendable       Code = "NOT_EXTENDABLE"
	NoDonor             Code = "NO_DONOR_TOKEN"
	DonorEarlier        Code = "DONOR_EXPIRES_EARLIER"
)

// Backups and their way back.
const (
	BackupFormat  Code = "BACKUP_BAD_FORMAT"        // no backup, damaged or cut short
	BackupKey     Code = "BACKUP_WRONG_KEY"         // does not open with what was given
	BackupForeign Code = "BACKUP_NOT_OURS"          // sealed by somebody who does not have the deployment's keys
	RestoreTarget Code = "RESTORE_TARGET_NOT_EMPTY" // there is something where it would go
)

// Transfers between deployments.
const (
	TransferFormat Code = "TRANSFER_BAD_FORMAT"   // no transfer, damaged or cut short
	TransferKey    Code = "TRANSFER_WRONG_KEY"    // sealed to another deployment
	TransferSigner Code = "TRANSFER_WRONG_SIGNER" // made by another deployment than was named
)

// Resynchronisation of a token's clock.
const (
	ResyncNoMatch       Code = "RESYNC_NO_MATCH"
	ResyncNotSuccessive Code = "RESYNC_NOT_SUCCESSIVE"
	ResyncOutOfRange    Code = "RESYNC_OUT_OF_RANGE"
	ResyncPasscode      Code = "RESYNC_PASSCODE_ENTERED"
	ResyncUsed          Code = "RESYNC_ALREADY_USED"
)

// Distribution and redistribution.
const (
	NotSoftware         Code = "NOT_SOFTWARE"            // only software tokens are delivered
	ProfileMismatch     Code = "PROFILE_DEVICE_MISMATCH" // the profile is not for the device of the token
	DeviceIDInvalid     Code = "DEVICE_ID_INVALID"
	DeviceIDRequired    Code = "DEVICE_ID_REQUIRED"
	NicknameInvalid     Code = "NICKNAME_INVALID"
	PasswordRequired    Code = "PASSWORD_REQUIRED"
	PasswordTooLong     Code = "PASSWORD_TOO_LONG"
	PasswordTooWeak     Code = "PASSWORD_TOO_WEAK"
	ReasonRequired      Code = "REASON_REQUIRED"
	NotDistributed      Code = "NOT_DISTRIBUTED"
	TokenDisabled       Code = "DISABLED" // a warning
	IssueLimit          Code = "ISSUE_LIMIT_REACHED"
	ActivationRefused   Code = "ACTIVATION_REFUSED"
	ActivationUnknown   Code = "ACTIVATION_UNKNOWN"
	ActivationExpired   Code = "ACTIVATION_EXPIRED"
	ActivationUsed      Code = "ACTIVATION_USED"
	ActivationLocked    Code = "ACTIVATION_LOCKED"
	ActivationRevoked   Code = "ACTIVATION_REVOKED"
	DeviceMismatch      Code = "DEVICE_MISMATCH"
	NotDistributable    Code = "TOKEN_NOT_DISTRIBUTABLE"
	ServiceBusy         Code = "SERVICE_BUSY"
	DeliveryProofFailed Code = "DELIVERY_PROOF_FAILED"
)

// Jobs (spec/software-token-lifecycle.md section 7.6).
const (
	JobNotFound       Code = "JOB_NOT_FOUND"
	JobNameTaken      Code = "JOB_NAME_TAKEN"
	JobNameBad        Code = "JOB_NAME_INVALID"
	JobOver           Code = "JOB_OVER"              // it has ended, or is not running
	JobExpired        Code = "JOB_EXPIRED"           // its results are destroyed
	NotAwaiting       Code = "NOT_AWAITING_APPROVAL" // nobody is to approve it, or not any more
	ApproverIsStarter Code = "APPROVER_IS_STARTER"   // who approves has to be somebody else
)

// Authentication dialogues (spec/rest-authn-api.md section 5).
const (
	AttemptNotFound  Code = "ATTEMPT_NOT_FOUND"    // unknown, over, or begun by another agent
	OutOfSequence    Code = "OUT_OF_SEQUENCE"      // the answer is to another turn than the last
	StepNotRequested Code = "METHOD_NOT_REQUESTED" // the answer is to another step than the one asked for
)

// Refusals of the token app (spec/cli.md).
const (
	BadFormat            Code = "BAD_FORMAT"
	ChecksumFailed       Code = "CHECKSUM_FAILED"
	WrongPassword        Code = "WRONG_PASSWORD"
	WrongDevice          Code = "WRONG_DEVICE"
	UnsupportedVersion   Code = "UNSUPPORTED_VERSION"
	UnsupportedAlgorithm Code = "UNSUPPORTED_ALGORITHM"
	Expired              Code = "EXPIRED"
	DuplicateSerial      Code = "DUPLICATE_SERIAL"
	Modified             Code = "MODIFIED"
	UnknownToken         Code = "UNKNOWN_TOKEN"
	StoreFull            Code = "STORE_FULL"
	StoreLocked          Code = "STORE_LOCKED"
	BadPIN               Code = "BAD_PIN"
	ServerUnreachable    Code = "SERVER_UNREACHABLE"
	ServerUntrusted      Code = "SERVER_UNTRUSTED"
)

// An Error refuses what the input or the state does not allow.
type Error struct {
	Code    Code           // stable
	Message string         // for people: what is wrong, and what to do next; never a secret
	Details map[string]any // facts for programs, such as {"users":3,"tokens":2}; may be nil
}

// New makes a refusal; the message is built as fmt.Sprintf does.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With adds one fact for programs to the refusal and returns it.
func (e *Error) With(name string, value any) *Error {
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	e.Details[name] = value
	return e
}

// Error returns the message for people.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the code, so that errors.Is finds it.
func (e *Error) Unwrap() error { return e.Code }

// CodeOf returns the code of the refusal in err's chain, or "" if err is no
// refusal but a defect or an outage.
func CodeOf(err error) Code {
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return ""
}

// Wrap puts what was being done in front of a refusal's message and keeps its
// code and details; any other error is wrapped as fmt.Errorf does with %w.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	var e *Error
	if errors.As(err, &e) {
		return &Error{Code: e.Code, Message: doing + ": " + e.Message, Details: e.Details}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
