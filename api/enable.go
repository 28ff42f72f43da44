package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// EnableProtection answers PUT …/protectedItems/{item}. What the item is to be
// protected with is read from the aggregates themselves and copied into the
// command; whatever they can refuse is refused before the 202.
func (s *Server) EnableProtection(ctx context.Context, r oapi.EnableProtectionRequestObject) (oapi.EnableProtectionResponseObject, error) {
	w := workflow{vault: r.Vault, item: r.Item, kind: protecteditem.EnableProtectionJob, job: s.newID(), key: r.Params.IdempotencyKey}
	if !value(r.Params.ValidateOnly) {
		first, ok, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
		if err != nil {
			return nil, err
		}
		if ok {
			w.job = first.job
			body, err := s.accepted(ctx, w, first)
			return oapi.EnableProtection202JSONResponse{JobAcceptedJSONResponse: body}, err
		}
	}
	cmd, err := s.enableCommand(ctx, w, r.Body)
	if err != nil {
		return nil, err
	}
	if value(r.Params.ValidateOnly) {
		if err := s.tryItem(ctx, r.Vault, r.Item, cmd, nil); err != nil {
			return nil, repoint(err, enableField)
		}
		warnings, err := s.warningsOf(ctx, cmd)
		return oapi.EnableProtection200JSONResponse{ValidatedJSONResponse: validated(warnings)}, err
	}
	body, err := s.beginJob(ctx, cmd, w)
	if err != nil {
		return nil, repoint(err, enableField)
	}
	return oapi.EnableProtection202JSONResponse{JobAcceptedJSONResponse: body}, nil
}

func (s *Server) enableCommand(ctx context.Context, w workflow, in *oapi.EnableProtectionInput) (protecteditem.EnableProtection, error) {
	vault := w.vault
	cmd := protecteditem.EnableProtection{
		JobID: w.job, Vault: vault, Item: w.item, Site: in.Site, Host: in.Host, PolicyID: in.Policy, Disks: value(in.Disks),
		RecoverySite: in.Recovery.Site, RecoveryHost: in.Recovery.Host, RecoveryVMName: value(in.Recovery.VirtualMachineName), At: s.now(),
	}
	source, err := s.hostFor(ctx, vault, in.Site, in.Host, "")
	if err != nil {
		return cmd, err
	}
	vm, ok := source.VirtualMachine(in.VirtualMachine)
	if !ok {
		return cmd, unknown(errorcatalog.VirtualMachineNotFound, "/virtualMachine", "host %q has no virtual machine %q", in.Host, in.VirtualMachine)
	}
	cmd.VM = vm
	if _, err := s.hostFor(ctx, vault, in.Recovery.Site, in.Recovery.Host, "/recovery"); err != nil {
		return cmd, err
	}
	settings, version, err := s.policies.Load(ctx, vault+"."+in.Policy)
	if err != nil {
		return cmd, err
	}
	if version == 0 {
		return cmd, unknown(errorcatalog.PolicyNotFound, "/policy", "there is no policy %q", in.Policy)
	}
	cmd.Policy = settings.Settings
	account, version, err := s.storageAccounts.Load(ctx, vault+"."+in.StorageAccount)
	if err != nil {
		return cmd, err
	}
	if version == 0 {
		return cmd, unknown(errorcatalog.StorageAccountNotFound, "/storageAccount", "there is no storage account %q", in.StorageAccount)
	}
	cmd.Store = protecteditem.StoreRef{ID: in.StorageAccount, Kind: protecteditem.StoreKind(account.Settings.Kind)}
	if cmd.NICs, err = s.nicsFrom(ctx, vault, in.Recovery.Site, value(in.Nics)); err != nil {
		return cmd, err
	}
	return cmd, s.unprotectedElsewhere(ctx, cmd)
}

// hostFor finds a host that a request names; under is where in the body it does.
func (s *Server) hostFor(ctx context.Context, vault, siteID, host, under string) (site.Host, error) {
	state, version, err := s.sites.Load(ctx, vault+"."+siteID)
	if err != nil {
		return site.Host{}, err
	}
	if version == 0 {
		return site.Host{}, unknown(errorcatalog.SiteNotFound, under+"/site", "there is no site %q", siteID)
	}
	h, ok := state.Host(host)
	if !ok {
		return site.Host{}, unknown(errorcatalog.HostNotFound, under+"/host", "site %q has no host %q", siteID, host)
	}
	if r := state.RequireCloud(host); r != nil {
		return h, r.At(under + "/host")
	}
	return h, nil
}

// unprotectedElsewhere refuses a VM that another item protects.
func (s *Server) unprotectedElsewhere(ctx context.Context, cmd protecteditem.EnableProtection) error {
	rows, err := s.itemsHere(ctx, cmd.Vault, cmd.Site, cmd.Host)
	if err != nil {
		return err
	}
	for _, row := range rows {
		st := row.State
		if row.ID != cmd.Item && st.Site == cmd.Site && st.Host == cmd.Host && st.VM.ID == cmd.VM.ID {
			return domain.Reject(domain.Conflict, errorcatalog.AlreadyProtected, "the VM is protected as item %q", row.ID).At("/virtualMachine")
		}
	}
	return nil
}

// unknown refuses a body that refers to something that does not exist.
func unknown(code errorcatalog.Code, field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, code, format, args...).At(field)
}

func (s *Server) warningsOf(ctx context.Context, cmd protecteditem.EnableProtection) ([]oapi.Finding, error) {
	checks := protecteditem.CheckPrerequisites(cmd.VM, cmd.Disks, protecteditem.LimitsOf(cmd.Store.Kind))
	warnings := each(checks.Warnings, func(w errorcatalog.Failure) oapi.Finding { return *undated(&w) })
	plan, err := s.planOf(ctx, protecteditem.State{
		Vault: cmd.Vault, Item: cmd.Item, Site: cmd.Site, VM: cmd.VM, NICs: cmd.NICs, Recovery: protecteditem.RecoveryTarget{Site: cmd.RecoverySite},
	})
	return append(warnings, networkWarnings(plan.Findings)...), err
}

// enableField names in the body what the command calls otherwise.
func enableField(field string) string {
	switch field {
	case "/recoverySite":
		return "/recovery/site"
	case "/recoveryHost":
		return "/recovery/host"
	case "/recoveryVmName":
		return "/recovery/virtualMachineName"
	}
	return nicField(field)
}
