-- The view of costs: a judge's call that was answered is no image, and no failure either.
-- Applied again, it changes nothing.

create or replace view mai.imagen_costs as
select
  (created_at at time zone 'UTC')::date as day,
  backend,
  model,
  caller,
  deployment,
  batch,
  count(*) filter (where status = 'succeeded') as images,
  count(*) filter (where status not in ('succeeded', 'judge_succeeded')) as failures,
  sum(cost_usd_estimate) as cost_usd,
  sum(cost_usd_estimate) filter (where status not in ('succeeded', 'judge_succeeded')) as failures_cost_usd,
  count(*) filter (where cost_usd_estimate is null) as cost_unknown,
  avg(latency_ms) filter (where status = 'succeeded') as latency_ms
from mai.imagen_usage
group by 1, 2, 3, 4, 5, 6;

comment on column mai.imagen_usage.status is 'succeeded; failed or held: no image, though it was billed or may have been; the same after judge_ for a call that asked about an image';

-- A view that is replaced loses what it was set to, and would show its owner's rows.
do $$
begin
  if current_setting('server_version_num')::int >= 150000 then
    execute 'alter view mai.imagen_costs set (security_invoker = true)';
  end if;
end
$$;
