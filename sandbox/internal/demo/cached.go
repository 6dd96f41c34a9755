package demo

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

// cached shows that a role is assumed once, and that a second kubectl's token is made
// with the cached credentials.
func (s *show) cached() error {
	s.say("kubectl starts ekskey token each time, and the context readonly needs a role for it. The cache is " +
		"cleared first.")
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
	if err := o.want(0, "credentials ", arn("role/team/viewer")); err != nil {
		return err
	}
	if strings.Contains(o.stdout, tokenPrefix) {
		return errors.New("the list has a token in it")
	}
	const list = "the list of cached credentials"
	before, err := s.quietly("", "ekskey", "cache", "list", "--output", "json")
	if err != nil {
		return err
	}
	if called, err = s.calledBy(s.getPod); err != nil {
		return err
	}
	// The server asks STS whose a new token is, and within one second the same
	// credentials sign the same token. Nothing else may be asked.
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
	if err := after.want(0, `"credentials"`); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	if after.stdout != before.stdout {
		return errors.New(list + " has changed, so the second kubectl's token was made with other credentials")
	}
	s.ok("the second was a cache hit: ekskey made no call of AWS, and signed a new token with the cached credentials")
	s.hops(
		"ekskey token: found the role's credentials in the cache. The key covers all that decides who signs: AWS's variables and files, profile, roles",
		"kube-apiserver: asks STS once who signed a new token, as it does for the AWS CLI's",
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
	s.ok("cleared. EKSKEY_CACHE=none caches nothing, EKSKEY_CACHE=keyring seals the entries")
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
	return o.want(0, "1 removed")
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
