package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/policy"
)

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// setSeconds sets a length of time, if one was given.
func setSeconds(to *time.Duration, given *int64) {
	if given != nil {
		*to = time.Duration(*given) * time.Second
	}
}

// whose is the domain whose policy it is, as the caller may know it: "" for one above what she sees.
func whose(ctx context.Context, name string) string {
	if name != domain.Root && !domain.ScopeFrom(ctx).Covers(name) {
		return ""
	}
	return domain.Show(name)
}

func tokenPolicyOf(ctx context.Context, p policy.Token) client.TokenPolicy {
	return client.TokenPolicy{
		IncorrectBeforeNTC: p.IncorrectBeforeNTC, NextCodeFailure: string(p.NextCodeFailure),
		PINCreation: string(p.PINCreation), PINMin: p.PINMin, PINMax: p.PINMax, PINCharacters: string(p.PINCharacters),
		PINMinLetters: p.PINMinLetters, PINMinDigits: p.PINMinDigits, RefuseTrivialPINs: p.RefuseTrivialPINs,
		ExcludedWords:     append([]string{}, p.ExcludedWords...), // never null
		PINMaxLifeSeconds: seconds(p.PINMaxLife), PINMinLifeSeconds: seconds(p.PINMinLife), PINHistory: p.PINHistory,
		EmergencyLength: p.EmergencyLength, EmergencyCharacters: string(p.EmergencyCharacters),
		EmergencyLifeSeconds: seconds(p.EmergencyLife), EmergencyMaxLifeSeconds: seconds(p.EmergencyMaxLife),
		EmergencyIfFound: string(p.EmergencyIfFound), FixedPasscode: string(p.FixedPasscode), FixedPasscodeMin: p.FixedPasscodeMin,
		OnDemand: p.OnDemand, OnDemandLifeSeconds: seconds(p.OnDemandLife), DeleteReplaced: p.DeleteReplaced,
		WindowSmall: p.WindowSmall, WindowMediumSeconds: seconds(p.WindowMedium), WindowLargeSeconds: seconds(p.WindowLarge),
		Domain: whose(ctx, p.Domain), Version: p.Version,
	}
}

func lockoutPolicyOf(ctx context.Context, p policy.Lockout) client.LockoutPolicy {
	return client.LockoutPolicy{
		Failures: p.Failures, WithinSeconds: seconds(p.Within), UnlockAfterSeconds: seconds(p.UnlockAfter),
		SeparateUnknownSources: p.SeparateUnknownSources, Domain: whose(ctx, p.Domain), Version: p.Version,
	}
}

// policyDomain is the domain that a request for policies names; the root, which is the deployment, where it names none.
func policyDomain(r *request) string { return domain.Parse(r.PathValue("domain")) }

// policiesIn reads what holds in the domain of a request. The deployment's policies are no secret of the root.
func (a *API) policiesIn(ctx context.Context, r *request) (policy.Token, policy.Lockout, error) {
	if r.PathValue("domain") == "" {
		ctx = domain.WithScope(ctx, domain.Scope{})
	}
	return a.Policies.In(ctx, policyDomain(r))
}

func (a *API) listPolicies(ctx context.Context, r *request) (answer, error) {
	token, lockout, err := a.policiesIn(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return ok(client.PolicySet{Token: tokenPolicyOf(ctx, token), Lockout: lockoutPolicyOf(ctx, lockout)})
}

// shownTokenPolicy answers with a token policy.
func shownTokenPolicy(ctx context.Context, p policy.Token, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, p.Version, tokenPolicyOf(ctx, p))
}

// shownLockoutPolicy answers with a lockout policy.
func shownLockoutPolicy(ctx context.Context, p policy.Lockout, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, p.Version, lockoutPolicyOf(ctx, p))
}

func (a *API) showTokenPolicy(ctx context.Context, r *request) (answer, error) {
	p, _, err := a.policiesIn(ctx, r)
	return shownTokenPolicy(ctx, p, err)
}

func (a *API) showLockoutPolicy(ctx context.Context, r *request) (answer, error) {
	_, p, err := a.policiesIn(ctx, r)
	return shownLockoutPolicy(ctx, p, err)
}

func (a *API) inheritTokenPolicy(ctx context.Context, r *request) (answer, error) {
	p, err := a.Policies.InheritToken(ctx, policyDomain(r), r.version)
	return shownTokenPolicy(ctx, p, err)
}

func (a *API) inheritLockoutPolicy(ctx context.Context, r *request) (answer, error) {
	p, err := a.Policies.InheritLockout(ctx, policyDomain(r), r.version)
	return shownLockoutPolicy(ctx, p, err)
}

// tokenPolicyEdit is an edit in the words of the domain.
func tokenPolicyEdit(in client.TokenPolicyEdit) func(*policy.Token) {
	return func(p *policy.Token) {
		set(&p.IncorrectBeforeNTC, in.IncorrectBeforeNTC)
		set(&p.NextCodeFailure, (*policy.NextCodeFailure)(in.NextCodeFailure))
		set(&p.PINCreation, (*policy.PINCreation)(in.PINCreation))
		set(&p.PINMin, in.PINMin)
		set(&p.PINMax, in.PINMax)
		set(&p.PINCharacters, (*policy.Characters)(in.PINCharacters))
		set(&p.PINMinLetters, in.PINMinLetters)
		set(&p.PINMinDigits, in.PINMinDigits)
		set(&p.RefuseTrivialPINs, in.RefuseTrivialPINs)
		set(&p.ExcludedWords, in.ExcludedWords)
		setSeconds(&p.PINMaxLife, in.PINMaxLifeSeconds)
		setSeconds(&p.PINMinLife, in.PINMinLifeSeconds)
		set(&p.PINHistory, in.PINHistory)
		set(&p.EmergencyLength, in.EmergencyLength)
		set(&p.EmergencyCharacters, (*policy.Characters)(in.EmergencyCharacters))
		setSeconds(&p.EmergencyLife, in.EmergencyLifeSeconds)
		setSeconds(&p.EmergencyMaxLife, in.EmergencyMaxLifeSeconds)
		set(&p.EmergencyIfFound, (*policy.IfFound)(in.EmergencyIfFound))
		set(&p.FixedPasscode, (*policy.FixedPasscode)(in.FixedPasscode))
		set(&p.FixedPasscodeMin, in.FixedPasscodeMin)
		set(&p.OnDemand, in.OnDemand)
		setSeconds(&p.OnDemandLife, in.OnDemandLifeSeconds)
		set(&p.DeleteReplaced, in.DeleteReplaced)
		set(&p.WindowSmall, in.WindowSmall)
		setSeconds(&p.WindowMedium, in.WindowMediumSeconds)
		setSeconds(&p.WindowLarge, in.WindowLargeSeconds)
	}
}

func (a *API) editTokenPolicy(ctx context.Context, r *request, in client.TokenPolicyEdit) (answer, error) {
	p, err := a.Policies.EditTokenOf(ctx, policyDomain(r), r.version, tokenPolicyEdit(in))
	return shownTokenPolicy(ctx, p, err)
}

// lockoutPolicyEdit is an edit in the words of the domain.
func lockoutPolicyEdit(in client.LockoutPolicyEdit) func(*policy.Lockout) {
	return func(p *policy.Lockout) {
		set(&p.Failures, in.Failures)
		setSeconds(&p.Within, in.WithinSeconds)
		setSeconds(&p.UnlockAfter, in.UnlockAfterSeconds)
		set(&p.SeparateUnknownSources, in.SeparateUnknownSources)
	}
}

func (a *API) editLockoutPolicy(ctx context.Context, r *request, in client.LockoutPolicyEdit) (answer, error) {
	p, err := a.Policies.EditLockoutOf(ctx, policyDomain(r), r.version, lockoutPolicyEdit(in))
	return shownLockoutPolicy(ctx, p, err)
}
