-- One column more: the deployment that a run belonged to; and a view for dashboards. Readers of the older columns go on.
-- Applied again, it changes nothing.

alter table mai.imagen_usage add column if not exists deployment text not null default '';

comment on column mai.imagen_usage.deployment is 'name of the Prefect deployment that started the run; empty: a person did';

create or replace view mai.imagen_costs as
select
  (created_at at time zone 'UTC')::date as day,
  backend,
  model,
  caller,
  deployment,
  batch,
  count(*) filter (where status = 'succeeded') as images,
  count(*) filter (where status <> 'succeeded') as failures,
  sum(cost_usd_estimate) as cost_usd,
  sum(cost_usd_estimate) filter (where status <> 'succeeded') as failures_cost_usd,
  count(*) filter (where cost_usd_estimate is null) as cost_unknown,
  avg(latency_ms) filter (where status = 'succeeded') as latency_ms
from mai.imagen_usage
group by 1, 2, 3, 4, 5, 6;

comment on view mai.imagen_costs is 'usage added up by day (UTC), backend, model, caller, deployment and batch; its sum is the bill';

-- A view shows its owner's rows to whoever may read it, whatever row level security says; so nobody may.
do $$
declare
  outsider name;
begin
  for outsider in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
    execute format('revoke all on mai.imagen_costs from %I', outsider);
  end loop;

  -- From PostgreSQL 15 on it can show what the reader may see.
  if current_setting('server_version_num')::int >= 150000 then
    execute 'alter view mai.imagen_costs set (security_invoker = true)';
  end if;

  if exists (select from pg_roles where rolname = 'service_role') then
    grant select on mai.imagen_costs to service_role;
  end if;
end
$$;

notify pgrst, 'reload schema';
