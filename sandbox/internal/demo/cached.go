package demo

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

// cached shows that a role is assumed once, and that a second kubectl is given the
// first one's token.
func (s *show) cached() error {
	s.say("kubectl starts ekskey token each time, and the context readonly needs a role for it. What the step " +
		"before has left is forgotten first.")
	if err := s.clear(); err != nil {
		return err
	}
	called, err := s.calledBy(s.getPod)
	if err != nil {
		return err
	}
	if called[fakeaws.AssumeRole] != 1 {
		return fmt.Errorf("the first kubectl made %d calls of AssumeRole, not one", called[fakeaws.AssumeRole])
	}
	s.ok("the first kubectl assumed the role: one call of AssumeRole")

	o, err := s.run("ekskey", "cache", "list")
	if err != nil {
		return err
	}
	if err := o.want(0, "credentials ", "token ", arn("role/team/viewer")); err != nil {
		return err
	}
	if strings.Contains(o.stdout, tokenPrefix) {
		return errors.New("the list has a token in it")
	}
	const list = "the list of what is cached"
	before, err := s.quietly("", "ekskey", "cache", "list", "--output", "json")
	if err != nil {
		return err
	}
	if called, err = s.calledBy(s.getPod); err != nil {
		return err
	}
	// The server may ask STS again whose the token is; nothing else may be asked.
	if n := called[fakeaws.GetCallerIdentity]; n > 1 {
		return fmt.Errorf("the second kubectl's token was sent to STS %d times", n)
	}
	delete(called, fakeaws.GetCallerIdentity)
	if len(called) > 0 {
		return fmt.Errorf("the second kubectl called AWS: %v", called)
	}
	after, err := s.quietly("", "ekskey", "cache", "list", "--output", "json")
	if err != nil {
		return err
	}
	if err := after.want(0, `"token"`); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	if after.stdout != before.stdout {
		return errors.New(list + " has changed, so the second kubectl had a token of its own")
	}
	s.ok("the second was a cache hit: ekskey called AWS not once, and minted nothing")
	s.hops(
		"ekskey token: found in the cache the token that the first kubectl was given. The key covers all that decides who signs: AWS's variables and files, profile, roles, cluster",
		"kubectl: would, were that token refused, ask again, and then be given a new one and never the same",
	)
	if err := s.clear(); err != nil {
		return err
	}
	if o, err = s.quietly("", "ekskey", "cache", "list"); err != nil {
		return err
	}
	if err := o.want(0); err != nil {
		return err
	}
	if strings.Contains(o.stdout, seed.Account) {
		return errors.New(list + " is not empty")
	}
	s.ok("forgotten. EKSKEY_CACHE=none keeps nothing from the start, EKSKEY_CACHE=keyring seals it")
	return nil
}

func (s *show) getPod() error {
	o, err := s.run("kubectl", "--context", "readonly", "get", "pods", "-n", "shop", "-l", "app=db")
	if err != nil {
		return err
	}
	return o.want(0, "db-0")
}

func (s *show) clear() error {
	o, err := s.run("ekskey", "cache", "clear")
	if err != nil {
		return err
	}
	return o.want(0, "2 removed")
}

// calledBy counts the calls of the embedded AWS during f.
func (s *show) calledBy(f func() error) (map[fakeaws.Action]int, error) {
	before := s.cfg.Stack.AWS().Counts()
	err := f()
	called := s.cfg.Stack.AWS().Counts()
	for action, n := range before {
		called[action] -= n
	}
	maps.DeleteFunc(called, func(_ fakeaws.Action, n int) bool { return n == 0 })
	return called, err
}
