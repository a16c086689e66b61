package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/policy"
)

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// setSeconds sets a length of time, if one was given.
func setSeconds(to *time.Duration, given *int64) {
	if given != nil {
		*to = time.Duration(*given) * time.Second
	}
}

func tokenPolicyOf(p policy.Token) client.TokenPolicy {
	return client.TokenPolicy{
		IncorrectBeforeNTC: p.IncorrectBeforeNTC, NextCodeFailure: string(p.NextCodeFailure),
		PINCreation: string(p.PINCreation), PINMin: p.PINMin, PINMax: p.PINMax, PINCharacters: string(p.PINCharacters),
		PINMinLetters: p.PINMinLetters, PINMinDigits: p.PINMinDigits, RefuseTrivialPINs: p.RefuseTrivialPINs,
		ExcludedWords:     append([]string{}, p.ExcludedWords...), // never null
		PINMaxLifeSeconds: seconds(p.PINMaxLife), PINMinLifeSeconds: seconds(p.PINMinLife), PINHistory: p.PINHistory,
		EmergencyLength: p.EmergencyLength, EmergencyCharacters: string(p.EmergencyCharacters),
		EmergencyLifeSeconds: seconds(p.EmergencyLife), EmergencyMaxLifeSeconds: seconds(p.EmergencyMaxLife),
		EmergencyIfFound: string(p.EmergencyIfFound), DeleteReplaced: p.DeleteReplaced,
		WindowSmall: p.WindowSmall, WindowMediumSeconds: seconds(p.WindowMedium), WindowLargeSeconds: seconds(p.WindowLarge),
		Version: p.Version,
	}
}

func lockoutPolicyOf(p policy.Lockout) client.LockoutPolicy {
	return client.LockoutPolicy{
		Failures: p.Failures, WithinSeconds: seconds(p.Within), UnlockAfterSeconds: seconds(p.UnlockAfter),
		SeparateUnknownSources: p.SeparateUnknownSources, Version: p.Version,
	}
}

func (a *API) listPolicies(ctx context.Context, _ *request) (answer, error) {
	set, err := a.Policies.Get(ctx)
	if err != nil {
		return answer{}, err
	}
	return ok(client.PolicySet{Token: tokenPolicyOf(set.Token), Lockout: lockoutPolicyOf(set.Lockout)})
}

func (a *API) showTokenPolicy(ctx context.Context, _ *request) (answer, error) {
	set, err := a.Policies.Get(ctx)
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, set.Token.Version, tokenPolicyOf(set.Token))
}

func (a *API) showLockoutPolicy(ctx context.Context, _ *request) (answer, error) {
	set, err := a.Policies.Get(ctx)
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, set.Lockout.Version, lockoutPolicyOf(set.Lockout))
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
		set(&p.DeleteReplaced, in.DeleteReplaced)
		set(&p.WindowSmall, in.WindowSmall)
		setSeconds(&p.WindowMedium, in.WindowMediumSeconds)
		setSeconds(&p.WindowLarge, in.WindowLargeSeconds)
	}
}

func (a *API) editTokenPolicy(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.TokenPolicyEdit](r)
	if err != nil {
		return answer{}, err
	}
	p, err := a.Policies.EditToken(ctx, r.version, tokenPolicyEdit(in))
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, p.Version, tokenPolicyOf(p))
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

func (a *API) editLockoutPolicy(ctx context.Context, r *request) (answer, error) {
	in, err := decode[client.LockoutPolicyEdit](r)
	if err != nil {
		return answer{}, err
	}
	p, err := a.Policies.EditLockout(ctx, r.version, lockoutPolicyEdit(in))
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, p.Version, lockoutPolicyOf(p))
}
