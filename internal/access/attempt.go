package access

import "time"

// A KeptAttempt is an attempt that an agent asked to keep, so that it can look
// at it once it is over (spec/rest-authn-api.md section 3.8).
type KeptAttempt struct {
	ID         string // as the agent knows it
	Credential string // access ID of who began it: nobody else may look
	UserID     string
	Attributes []NameValue // that the agent told of the session
	Methods    []string    // that succeeded
	Code       string      // attemptResponseCode, IN_PROCESS until it is over
	Reason     string      // attemptReasonCode
	Life       time.Duration
	ExpiresAt  time.Time
	Turn       int // of the decision that the rest is about
}

// A NameValue is a pair as the SecurID Authentication API carries it (section 3.4).
type NameValue struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	DataType string `json:"dataType"`
}
