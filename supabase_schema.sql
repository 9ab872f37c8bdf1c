-- FreeRelay's database, whole: the one schema, for an empty database, for one of any earlier release, and for itself.
--
-- Every start applies it again, so each statement either changes nothing or brings an older shape to this one. It runs
-- on PostgreSQL 15 to 18 and on hosted Supabase, without extensions. Elsewhere than on Supabase,
-- `freerelay_core/store/prelude.sql` comes first: it supplies the three roles and `auth.uid()` that Supabase has.
--
-- Who may do what: `anon` nothing; `authenticated` (a tenant, named by the `sub` of its claims) reads its own rows and
-- writes its own `routing_preference`, nothing else; `service_role` (the router) what its work needs. Row level security
-- is on for every table, and every privilege is taken away before any is given.

begin;
-- Another start that applies this file needs a moment; a session that keeps the lock would stop every start without a word.
set local lock_timeout = '2s';
select pg_advisory_xact_lock(hashtext('freerelay.schema'));
-- Shorter than `deadlock_timeout`: where live traffic and this file want each other's tables, this file gives way (run it
-- again), and nobody waits behind it for long.
set local lock_timeout = '500ms';
set local statement_timeout = '5min';
set local client_min_messages = warning;
set local timezone = 'UTC';
set local search_path = '';
select set_config('freerelay.actor', 'schema upgrade', true);

-- 1. Tables ---------------------------------------------------------------------------------------------------------
-- Only their keys stand here; section 4 gives every table its columns. The settings audit grows by one row a change; its
-- id is its order.

create table if not exists public.users (id uuid primary key);
create table if not exists public.api_keys (id uuid primary key);
create table if not exists public.dashboard_sessions (session_hash text primary key);
create table if not exists public.settings_audit (id bigint generated always as identity primary key);
create table if not exists public.published_snapshots (worker text primary key);
create table if not exists public.scenarios (id uuid primary key);
create table if not exists public.changes (id bigint generated always as identity primary key);
create table if not exists public.lessons (
  kind text, scope text, endpoint text, simulated boolean, primary key (kind, scope, endpoint, simulated));
create table if not exists public.feedback (decision_id uuid primary key);
create table if not exists public.remembered_answers (user_id uuid, key_hash text, primary key (user_id, key_hash));
create table if not exists public.spend (
  user_id uuid, day date, provider text, basis text, worker text,
  primary key (user_id, day, provider, basis, worker));
create table if not exists public.decisions (created_at timestamptz, id uuid, primary key (created_at, id))
  partition by range (created_at);
create table if not exists public.decisions_default partition of public.decisions default;

-- 2. What an older installation laid over these tables, and what would contradict this file ----------------------------
-- Policies are additive: one forgotten `using (true)` would undo all of ours. A CHECK guarded by its name alone would
-- keep an outdated list of values for ever. Both go, and come back in sections 6 and 8.

do $$
declare
  r record;
begin
  for r in
    select policyname, tablename from pg_catalog.pg_policies
     where schemaname = 'public' and tablename in ('users', 'api_keys', 'dashboard_sessions', 'settings_audit',
                                                   'published_snapshots', 'scenarios', 'changes', 'lessons', 'feedback',
                                                   'remembered_answers', 'spend', 'decisions', 'decisions_default')
  loop
    execute format('drop policy %I on public.%I', r.policyname, r.tablename);
  end loop;
  for r in
    select distinct c.conname
      from pg_catalog.pg_constraint c
      join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
     where c.conrelid = 'public.users'::regclass and c.contype = 'c' and a.attname in ('routing_preference', 'tier',
                                                                                          'budget_usd')
  loop
    execute format('alter table public.users drop constraint %I', r.conname);
  end loop;
end $$;

-- 3. Triggers ---------------------------------------------------------------------------------------------------------
-- They stand before the columns so that repairs of old rows are audited like any other change. Who is connected hears
-- of a change by NOTIFY; who only asks, over HTTP, reads it from `changes` (`changes_since`).

create or replace function public.users_before_update() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
  if (new.routing_preference, new.tier, new.allow_override, new.budget_usd)
     is distinct from (old.routing_preference, old.tier, old.allow_override, old.budget_usd) then
    new.settings_version := coalesce(old.settings_version, 0) + 1;
    new.updated_at := now();
  else
    new.settings_version := old.settings_version;
    new.updated_at := old.updated_at;
  end if;
  return new;
end $$;

-- SECURITY DEFINER: nobody but this function may write the audit, so nobody can forge it.
create or replace function public.users_after_update() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  actor text := coalesce(nullif(current_setting('freerelay.actor', true), ''), auth.uid()::text, session_user);
  acting_role text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
begin
  insert into public.settings_audit (user_id, field, old_value, new_value, actor, actor_role)
  select new.id, change.field, change.old_value, change.new_value, actor, acting_role
    from (values ('routing_preference', old.routing_preference, new.routing_preference),
                 ('tier', old.tier, new.tier),
                 ('allow_override', old.allow_override::text, new.allow_override::text),
                 ('budget_usd', old.budget_usd::text, new.budget_usd::text))
         as change (field, old_value, new_value)
   where change.old_value is distinct from change.new_value;
  if new.settings_version is distinct from old.settings_version then
    perform pg_notify('freerelay_settings', new.id::text || ':' || new.settings_version::text);
    insert into public.changes (user_id, settings_version) values (new.id, new.settings_version);
  end if;
  return null;
end $$;

-- A key that ends takes its dashboard sessions with it, and every worker hears of it.
create or replace function public.api_keys_after_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    perform pg_notify('freerelay_keys', old.key_hash);
    insert into public.changes (key_hash) values (old.key_hash);
  elsif (new.key_hash, new.user_id, new.revoked_at, new.expires_at)
        is distinct from (old.key_hash, old.user_id, old.revoked_at, old.expires_at) then
    if new.revoked_at is not null then
      delete from public.dashboard_sessions where key_id = new.id;
    end if;
    perform pg_notify('freerelay_keys', old.key_hash);
    insert into public.changes (key_hash) values (old.key_hash);
  end if;
  return null;
end $$;

-- What nobody will ask for any more goes. Rows that another transaction is removing are left to it: waiting for it here
-- could be a deadlock.
create or replace function public.changes_after_insert() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.changes
   where id in (select id from public.changes where at < now() - interval '1 hour' for update skip locked);
  return null;
end $$;

-- What new decisions cost is added up by day in the transaction that writes them, so that each counts once however often
-- it is sent. Of a hedged request each attempt says what it cost, and else the endpoint that answered is paid. `worker` is
-- the process that decided. Rows are taken in one order, so that two workers never wait for each other. SECURITY DEFINER:
-- nobody but this function writes sums. A partition that is attached brings rows that were counted when they came.
create or replace function public.decisions_after_insert() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.spend as so_far (user_id, day, provider, basis, worker, cost_usd)
  select d.user_id, (d.created_at at time zone 'UTC')::date as day,
         split_part(coalesce(paid.attempt ->> 'endpoint', d.endpoint, ''), '/', 1) as provider,
         case when d.demo then 'demo' else d.basis end as basis, regexp_replace(d.snapshot_id, '-[^-]*$', '') as worker,
         sum(coalesce((paid.attempt ->> 'cost_usd')::double precision, d.cost_usd))
    from added d
    left join lateral (select a as attempt from jsonb_array_elements(d.attempts) a
                        where jsonb_array_length(d.attempts) > 1 and a ->> 'cost_usd' is not null) paid on true
   where d.cost_usd > 0
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (user_id, day, provider, basis, worker) do update
    set cost_usd = so_far.cost_usd + excluded.cost_usd;
  return null;
end $$;

create or replace trigger users_before_update before update on public.users
  for each row execute function public.users_before_update();
create or replace trigger users_after_update after update on public.users
  for each row execute function public.users_after_update();
create or replace trigger api_keys_after_change after update or delete on public.api_keys
  for each row execute function public.api_keys_after_change();
create or replace trigger changes_after_insert after insert on public.changes
  for each statement execute function public.changes_after_insert();

-- 4. Columns, each declared here and nowhere else ---------------------------------------------------------------------
-- Two passes: first every column exists with its type and default, then old rows are filled and NOT NULL is set (the
-- triggers above read columns of `users` while its rows are filled). `fill` is what rows without a value receive where
-- the default would not do. Columns of an older installation that are not ours stay, but no longer demand a value.

do $$
declare
  c record;
  actual record;
  pass int;
  missing bigint;
  ours text[] := '{}';
begin
  for pass in 1..2 loop
    for c in select * from (values
      --table                 column                type                       required  default                fill
      ('users',               'id',                 'uuid',                     true,  'gen_random_uuid()',   null),
      ('users',               'email',              'text',                     true,  null,                  'id::text || ''@unknown.invalid'''),
      ('users',               'tier',               'text',                     true,  '''free''',            null),
      ('users',               'routing_preference', 'text',                     false, null,                  null),
      ('users',               'allow_override',     'boolean',                  true,  'false',               null),
      ('users',               'budget_usd',         'double precision',         false, null,                  null),
      ('users',               'settings_version',   'bigint',                   true,  '1',                   null),
      ('users',               'created_at',         'timestamp with time zone', true,  'now()',               null),
      ('users',               'updated_at',         'timestamp with time zone', true,  'now()',               null),

      ('api_keys',            'id',                 'uuid',                     true,  'gen_random_uuid()',   null),
      ('api_keys',            'user_id',            'uuid',                     true,  null,                  null),
      ('api_keys',            'name',               'text',                     true,  '''default''',         null),
      ('api_keys',            'prefix',             'text',                     true,  '''''',                null),
      ('api_keys',            'key_hash',           'text',                     true,  null,                  null),
      ('api_keys',            'created_at',         'timestamp with time zone', true,  'now()',               null),
      ('api_keys',            'last_used_at',       'timestamp with time zone', false, null,                  null),
      ('api_keys',            'expires_at',         'timestamp with time zone', false, null,                  null),
      ('api_keys',            'revoked_at',         'timestamp with time zone', false, null,                  null),

      ('dashboard_sessions',  'role',               'text',                     true,  null,                  null),
      ('dashboard_sessions',  'user_id',            'uuid',                     false, null,                  null),
      ('dashboard_sessions',  'key_id',             'uuid',                     false, null,                  null),
      ('dashboard_sessions',  'created_at',         'timestamp with time zone', true,  'now()',               null),
      ('dashboard_sessions',  'expires_at',         'timestamp with time zone', true,  null,                  null),

      ('settings_audit',      'user_id',            'uuid',                     true,  null,                  null),
      ('settings_audit',      'field',              'text',                     true,  null,                  null),
      ('settings_audit',      'old_value',          'text',                     false, null,                  null),
      ('settings_audit',      'new_value',          'text',                     false, null,                  null),
      ('settings_audit',      'actor',              'text',                     true,  null,                  null),
      ('settings_audit',      'actor_role',         'text',                     true,  null,                  null),
      ('settings_audit',      'at',                 'timestamp with time zone', true,  'clock_timestamp()',   null),

      ('published_snapshots', 'id',                 'text',                     true,  null,                  null),
      ('published_snapshots', 'created_at',         'timestamp with time zone', true,  null,                  null),
      ('published_snapshots', 'payload',            'bytea',                    true,  null,                  null),

      ('decisions',           'user_id',            'uuid',                     true,  null,                  null),
      ('decisions',           'request_id',         'text',                     true,  null,                  null),
      ('decisions',           'model',              'text',                     true,  null,                  null),
      ('decisions',           'snapshot_id',        'text',                     true,  null,                  null),
      ('decisions',           'preference',         'text',                     true,  null,                  null),
      ('decisions',           'preference_level',   'text',                     true,  null,                  null),
      ('decisions',           'preference_rule',    'text',                     false, null,                  null),
      ('decisions',           'endpoint',           'text',                     false, null,                  null),
      ('decisions',           'status',             'integer',                  true,  null,                  null),
      ('decisions',           'basis',              'text',                     true,  null,                  null),
      ('decisions',           'first_token_s',      'double precision',         false, null,                  null),
      ('decisions',           'duration_s',         'double precision',         true,  null,                  null),
      ('decisions',           'input_tokens',       'bigint',                   false, null,                  null),
      ('decisions',           'output_tokens',      'bigint',                   false, null,                  null),
      ('decisions',           'cached_tokens',      'bigint',                   false, null,                  null),
      ('decisions',           'cost_usd',           'double precision',         false, null,                  null),
      ('decisions',           'usage_estimated',    'boolean',                  true,  null,                  null),
      ('decisions',           'schema_pass',        'boolean',                  false, null,                  null),
      ('decisions',           'profile',            'jsonb',                    true,  null,                  null),
      ('decisions',           'exponents',          'jsonb',                    true,  null,                  null),
      ('decisions',           'log_factors',        'jsonb',                    false, null,                  null),
      ('decisions',           'ranking',            'jsonb',                    true,  null,                  null),
      ('decisions',           'figures',            'bytea',                    false, null,                  null),
      ('decisions',           'excluded',           'jsonb',                    true,  null,                  null),
      ('decisions',           'rules',              'jsonb',                    true,  null,                  null),
      ('decisions',           'actions',            'jsonb',                    false, null,                  null),
      ('decisions',           'attempts',           'jsonb',                    true,  null,                  null),
      ('decisions',           'demo',               'boolean',                  true,  'false',               null),
      ('decisions',           'propensity',         'double precision',         false, null,                  null),
      ('decisions',           'explored',           'boolean',                  true,  'false',               null),

      ('scenarios',           'id',                 'uuid',                     true,  'gen_random_uuid()',   null),
      ('scenarios',           'name',               'text',                     true,  null,                  null),
      ('scenarios',           'body',               'jsonb',                    true,  null,                  null),
      ('scenarios',           'updated_at',         'timestamp with time zone', true,  'now()',               null),

      ('changes',             'xid',                'xid8',                     true,  'pg_current_xact_id()', null),
      ('changes',             'user_id',            'uuid',                     false, null,                  null),
      ('changes',             'settings_version',   'bigint',                   false, null,                  null),
      ('changes',             'key_hash',           'text',                     false, null,                  null),
      ('changes',             'at',                 'timestamp with time zone', true,  'clock_timestamp()',   null),

      ('lessons',             'outcomes',           'bigint',                   true,  '0',                   null),
      ('lessons',             'decay',              'double precision',         true,  '1',                   null),
      ('lessons',             'weight',             'double precision',         true,  '0',                   null),
      ('lessons',             'total',              'double precision',         true,  '0',                   null),
      ('lessons',             'expected',           'double precision',         true,  '0',                   null),
      ('lessons',             'updated_at',         'timestamp with time zone', true,  'clock_timestamp()',   null),

      ('feedback',            'user_id',            'uuid',                     true,  null,                  null),
      ('feedback',            'score',              'double precision',         true,  null,                  null),
      ('feedback',            'at',                 'timestamp with time zone', true,  'clock_timestamp()',   null),

      ('remembered_answers',  'request_hash',       'text',                     true,  null,                  null),
      ('remembered_answers',  'answer',             'text',                     true,  null,                  null),
      ('remembered_answers',  'at',                 'timestamp with time zone', true,  'now()',               null),

      ('spend',               'cost_usd',           'double precision',         true,  '0',                   null)
    ) as declared (tab, col, typ, required, preset, fill)
    loop
      select format_type(a.atttypid, a.atttypmod) as typ, a.attnotnull as required, a.atthasdef as has_default
        into actual
        from pg_catalog.pg_attribute a
       where a.attrelid = format('public.%I', c.tab)::regclass and a.attname = c.col and not a.attisdropped;
      if pass = 1 then
        ours := ours || (c.tab || '.' || c.col);
        if actual is null then
          execute format('alter table public.%I add column %I %s %s', c.tab, c.col, c.typ, 'default ' || c.preset);
          continue;
        end if;
        if actual.typ <> c.typ then
          execute format('alter table public.%1$I alter column %2$I drop default, '
                         'alter column %2$I type %3$s using %2$I::%3$s', c.tab, c.col, c.typ);
        end if;
        if c.preset is not null then
          execute format('alter table public.%I alter column %I set default %s', c.tab, c.col, c.preset);
        elsif actual.has_default then
          execute format('alter table public.%I alter column %I drop default', c.tab, c.col);
        end if;
      elsif c.required and not actual.required then
        if coalesce(c.fill, c.preset) is not null then
          execute format('update public.%1$I set %2$I = %3$s where %2$I is null', c.tab, c.col, coalesce(c.fill, c.preset));
        end if;
        execute format('select count(*) from public.%I where %I is null', c.tab, c.col) into missing;
        if missing > 0 then
          raise exception 'public.%.% is null in % row(s): give them a value or delete them, then start again',
                          c.tab, c.col, missing;
        end if;
        execute format('alter table public.%I alter column %I set not null', c.tab, c.col);
      elsif actual.required and not c.required then
        execute format('alter table public.%I alter column %I drop not null', c.tab, c.col);
      end if;
    end loop;
  end loop;
  for c in
    select t.relname as tab, a.attname as col
      from pg_catalog.pg_class t join pg_catalog.pg_attribute a on a.attrelid = t.oid
     where t.oid in ('public.users'::regclass, 'public.api_keys'::regclass) and a.attnum > 0 and not a.attisdropped
       and a.attnotnull and not a.atthasdef and a.attidentity = '' and t.relname || '.' || a.attname <> all (ours)
  loop
    execute format('alter table public.%I alter column %I drop not null', c.tab, c.col);
  end loop;
end $$;

-- 5. Keys and indexes -------------------------------------------------------------------------------------------------

do $$
declare
  r record;
begin
  for r in select unnest(array['users', 'api_keys']) as tab loop
    if not exists (select from pg_catalog.pg_constraint
                    where conrelid = format('public.%I', r.tab)::regclass and contype = 'p') then
      execute format('alter table public.%I add primary key (id)', r.tab);
    end if;
  end loop;
  for r in select * from (values
      ('api_keys', 'user_id', 'users'), ('dashboard_sessions', 'user_id', 'users'), ('dashboard_sessions', 'key_id', 'api_keys')
    ) as v (tab, col, target)
  loop
    -- NOT VALID: an old row that points nowhere is no reason to refuse to start; it authenticates nobody.
    if not exists (select from pg_catalog.pg_constraint c
                     join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
                    where c.conrelid = format('public.%I', r.tab)::regclass and c.contype = 'f'
                      and c.confdeltype = 'c' and a.attname = r.col) then
      execute format('alter table public.%1$I drop constraint if exists %1$s_%2$s_fkey', r.tab, r.col);
      execute format('alter table public.%1$I add constraint %1$s_%2$s_fkey foreign key (%2$I) '
                     'references public.%3$I (id) on delete cascade not valid', r.tab, r.col, r.target);
    end if;
  end loop;
end $$;

create unique index if not exists users_email_key on public.users (email);
create unique index if not exists api_keys_key_hash_key on public.api_keys (key_hash);
create index if not exists api_keys_user_id_idx on public.api_keys (user_id);
create index if not exists dashboard_sessions_user_id_idx on public.dashboard_sessions (user_id);
create index if not exists dashboard_sessions_key_id_idx on public.dashboard_sessions (key_id);
create index if not exists settings_audit_user_id_idx on public.settings_audit (user_id, id desc);
create unique index if not exists scenarios_name_key on public.scenarios (name);
create index if not exists decisions_user_id_idx on public.decisions (user_id, created_at desc);
create index if not exists changes_xid_idx on public.changes (xid);
create index if not exists changes_at_idx on public.changes (at);
create index if not exists lessons_updated_at_idx on public.lessons (updated_at);
create index if not exists feedback_user_id_idx on public.feedback (user_id);
create index if not exists remembered_answers_at_idx on public.remembered_answers (at);
create index if not exists spend_day_idx on public.spend (day);

-- 6. Values that an older installation allowed -------------------------------------------------------------------------

update public.users set routing_preference = 'balanced'
 where routing_preference not in ('cost-optimized', 'balanced', 'performance-first');
update public.users set tier = 'free' where tier not in ('free', 'bronze', 'silver', 'gold');
update public.users set budget_usd = null where not (budget_usd >= 0 and budget_usd <= 1e9);

alter table public.users
  add constraint users_routing_preference_check
    check (routing_preference in ('cost-optimized', 'balanced', 'performance-first')),
  add constraint users_tier_check check (tier in ('free', 'bronze', 'silver', 'gold')),
  add constraint users_budget_usd_check check (budget_usd >= 0 and budget_usd <= 1e9);

do $$
begin
  -- These tables came with this check, so its name tells enough, and a long log need not be read again at every start.
  if not exists (select from pg_catalog.pg_constraint where conname = 'decisions_basis_check') then
    alter table public.decisions add constraint decisions_basis_check check (basis in ('measured', 'simulated'));
  end if;
  if not exists (select from pg_catalog.pg_constraint where conname = 'dashboard_sessions_role_check') then
    alter table public.dashboard_sessions add constraint dashboard_sessions_role_check
      check (role = 'operator' or (role = 'tenant' and user_id is not null));
  end if;
end $$;

-- A log that is older than the sums is added up once, as far back as a forecast looks. Nobody writes decisions between this
-- sum and the trigger: making it locks them out until the end of this transaction.
do $$
begin
  if exists (select from pg_catalog.pg_trigger
              where tgname = 'decisions_after_insert' and tgrelid = 'public.decisions'::regclass) then
    return;
  end if;
  create trigger decisions_after_insert after insert on public.decisions referencing new table as added
    for each statement execute function public.decisions_after_insert();
  insert into public.spend (user_id, day, provider, basis, worker, cost_usd)
  select user_id, (created_at at time zone 'UTC')::date, split_part(coalesce(endpoint, ''), '/', 1),
         case when demo then 'demo' else basis end, regexp_replace(snapshot_id, '-[^-]*$', ''), sum(cost_usd)
    from public.decisions
   where cost_usd > 0 and created_at >= date_trunc('month', now()) - interval '1 month'
   group by 1, 2, 3, 4, 5;
end $$;

-- 7. Functions that the router calls -----------------------------------------------------------------------------------
-- Over HTTP a call is a transaction of its own, a filter stands in the URL and so in other people's logs, and a list ends
-- at the project's limit of rows. So what takes two statements or names its actor, what looks for an address or a
-- digest, and what may be a long list, is a function; lists come as one JSON value. A function whose parameters change
-- needs its old form dropped here: PostgREST cannot choose between two of one name.

-- Grows with every change that `store/supabase.py` cannot do without, together with its `SCHEMA_VERSION`.
create or replace function public.schema_version() returns int
language sql immutable security invoker set search_path = '' as $$
  select 6
$$;

-- Functions of earlier releases that answered with fewer columns.
do $$
declare
  f record;
begin
  for f in select oid::regprocedure as signature from pg_catalog.pg_proc
            where pronamespace = 'public'::regnamespace and proname in ('auth_context', 'dashboard_session')
              and not 'budget_usd' = any (proargnames)
  loop
    execute format('drop function %s', f.signature);
  end loop;
end $$;

-- Who is behind a live key. One call, so that a digest never stands in a URL or a filter.
create or replace function public.auth_context(p_key_hash text)
returns table (key_id uuid, ends_at timestamptz, id uuid, email text, tier text, routing_preference text,
               allow_override boolean, budget_usd double precision, settings_version bigint, updated_at timestamptz)
language sql stable security invoker set search_path = '' as $$
  select k.id, k.expires_at, u.id, u.email, u.tier, u.routing_preference, u.allow_override, u.budget_usd,
         u.settings_version, u.updated_at
    from public.api_keys k join public.users u on u.id = k.user_id
   where k.key_hash = p_key_hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
$$;

-- The tenant with this address, if any.
create or replace function public.find_tenant(p_email text) returns setof public.users
language sql stable security invoker set search_path = '' as $$
  select * from public.users where email = p_email
$$;

create or replace function public.list_tenants() returns json
language sql stable security invoker set search_path = '' as $$
  select coalesce(json_agg(u order by u.email), '[]')
    from (select id, email, tier, routing_preference, allow_override, budget_usd, settings_version, updated_at
            from public.users) u
$$;

create or replace function public.update_tenant(
  p_user_id uuid, p_actor text, p_tier text default null, p_allow_override boolean default null
) returns setof public.users
language plpgsql security invoker set search_path = '' as $$
begin
  perform set_config('freerelay.actor', p_actor, true);
  return query
    update public.users set tier = coalesce(p_tier, tier), allow_override = coalesce(p_allow_override, allow_override)
     where id = p_user_id returning *;
end $$;

-- USD a calendar month; null takes the budget away.
create or replace function public.set_budget(p_user_id uuid, p_actor text, p_budget_usd double precision)
returns setof public.users
language plpgsql security invoker set search_path = '' as $$
begin
  perform set_config('freerelay.actor', p_actor, true);
  return query update public.users set budget_usd = p_budget_usd where id = p_user_id returning *;
end $$;

-- No row where there is no such tenant; PT409, with the present version as its detail, where it is not the expected one.
create or replace function public.set_routing_preference(
  p_user_id uuid, p_preference text, p_actor text, p_expected_version bigint default null
) returns setof public.users
language plpgsql security invoker set search_path = '' as $$
declare
  present bigint;
begin
  perform set_config('freerelay.actor', p_actor, true);
  return query
    update public.users set routing_preference = p_preference
     where id = p_user_id and settings_version = coalesce(p_expected_version, settings_version) returning *;
  if not found then
    select settings_version into present from public.users where id = p_user_id;
    if present is not null then
      raise sqlstate 'PT409' using message = 'the settings changed meanwhile', detail = present::text;
    end if;
  end if;
end $$;

-- When keys were last used, as `[{"id", "at"}]`. An earlier time than the one on record changes nothing.
create or replace function public.touch_api_keys(p_uses json) returns void
language sql volatile security invoker set search_path = '' as $$
  update public.api_keys k set last_used_at = greatest(k.last_used_at, used.at)
    from json_to_recordset(p_uses) as used (id uuid, at timestamptz) where k.id = used.id
$$;

-- Dashboard sessions, by the digest of their id.
create or replace function public.open_dashboard_session(
  p_session_hash text, p_role text, p_user_id uuid, p_key_id uuid, p_expires_at timestamptz
) returns void
language sql volatile security invoker set search_path = '' as $$
  delete from public.dashboard_sessions where expires_at <= now();
  insert into public.dashboard_sessions (session_hash, role, user_id, key_id, expires_at)
  values (p_session_hash, p_role, p_user_id, p_key_id, p_expires_at)
$$;

create or replace function public.dashboard_session(p_session_hash text)
returns table (role text, key_id uuid, ends_at timestamptz, id uuid, email text, tier text, routing_preference text,
               allow_override boolean, budget_usd double precision, settings_version bigint, updated_at timestamptz)
language sql stable security invoker set search_path = '' as $$
  select s.role, s.key_id, least(s.expires_at, k.expires_at), u.id, u.email, u.tier, u.routing_preference, u.allow_override,
         u.budget_usd, u.settings_version, u.updated_at
    from public.dashboard_sessions s
    left join public.users u on u.id = s.user_id
    left join public.api_keys k on k.id = s.key_id
   where s.session_hash = p_session_hash and s.expires_at > now()
     and (s.key_id is null or (k.revoked_at is null and coalesce(k.expires_at > now(), true)))
$$;

create or replace function public.end_dashboard_session(p_session_hash text) returns void
language sql volatile security invoker set search_path = '' as $$
  delete from public.dashboard_sessions where session_hash = p_session_hash
$$;

-- What changed by transactions that had not ended when `p_cursor` was given out: `{"cursor", "changes": [...]}`, and no
-- changes without a cursor. A change may come twice, and none is passed over, however long its transaction lasted:
-- every transaction below `xmin` had ended in the snapshot that the earlier answer was read from.
create or replace function public.changes_since(p_cursor text default null) returns json
language sql stable security invoker set search_path = '' as $$
  select json_build_object(
    'cursor', pg_snapshot_xmin(pg_current_snapshot())::text,
    'changes', (select coalesce(json_agg(c order by c.id), '[]')
                  from (select id, user_id, settings_version, key_hash from public.changes
                         where xid >= p_cursor::xid8) c))
$$;

-- Adds decisions; what is there already is left as it is. Both are JSON arrays of objects, given as text: `p_shared` holds
-- columns that are the same in several decisions, each of which names its place there, from 1 on, as `shared`. They are most
-- of a decision, and read once.
drop function if exists public.append_decisions(text);
create or replace function public.append_decisions(p_shared text, p_records text) returns void
language sql volatile security invoker set search_path = '' as $$
  with shared as materialized (
    select o.ordinality as place, json_populate_record(null::public.decisions, o.value) as columns
      from json_array_elements(p_shared::json) with ordinality o
  )
  insert into public.decisions
  select r.*
    from json_array_elements(p_records::json) d
    join shared on shared.place = (d.value ->> 'shared')::bigint
   cross join lateral json_populate_record(shared.columns, d.value) r
  on conflict do nothing
$$;

-- What outcomes taught, of what changed since a moment.
create or replace function public.list_lessons(p_since timestamptz default '-infinity') returns json
language sql stable security invoker set search_path = '' as $$
  select coalesce(json_agg(r), '[]')
    from (select kind, scope, endpoint, simulated, outcomes, decay, weight, total, expected from public.lessons
           where updated_at > p_since) r
$$;

-- Adds what outcomes taught to what is there, of which each new outcome leaves the share `decay`. Rows are taken in one
-- order, so that two workers never wait for each other. Returns the rows that anybody changed in the last minute.
create or replace function public.add_lessons(p_lessons json) returns json
language plpgsql volatile security invoker set search_path = '' as $$
begin
  insert into public.lessons as old (kind, scope, endpoint, simulated, outcomes, decay, weight, total, expected)
  select kind, scope, endpoint, simulated, outcomes, decay, weight, total, expected
    from json_populate_recordset(null::public.lessons, p_lessons)
   order by kind, scope, endpoint, simulated
  on conflict (kind, scope, endpoint, simulated) do update
    set outcomes = old.outcomes + excluded.outcomes,
        decay = excluded.decay,
        weight = old.weight * power(excluded.decay, excluded.outcomes) + excluded.weight,
        total = old.total * power(excluded.decay, excluded.outcomes) + excluded.total,
        expected = old.expected * power(excluded.decay, excluded.outcomes) + excluded.expected,
        updated_at = clock_timestamp();
  return public.list_lessons(clock_timestamp() - interval '1 minute');
end $$;

-- Keeps a tenant's grade of one of its decisions; false where it has one already.
create or replace function public.add_feedback(p_user_id uuid, p_decision_id uuid, p_score double precision) returns boolean
language sql volatile security invoker set search_path = '' as $$
  with added as (insert into public.feedback (decision_id, user_id, score) values (p_decision_id, p_user_id, p_score)
                 on conflict do nothing returning 1)
  select exists (select from added)
$$;

-- A write that carries an idempotency key is done once: the first leaves its answer in the transaction of the change itself,
-- and within 24 hours its repetitions get that answer. `p_key_hash` is the digest of tenant, route and key, `p_request_hash`
-- that of what was asked for. Only these four functions know of it: the two that follow are what the writes are made of.

-- The remembered answer, null where there is none yet: then the key belongs to the caller until its transaction ends. PT422
-- where the key was used for something else, PT425 where another transaction has held it for a second.
create or replace function public.recall_answer(p_user_id uuid, p_key_hash text, p_request_hash text) returns text
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '1s' as $$
declare
  known public.remembered_answers;
begin
  begin
    perform pg_advisory_xact_lock(hashtextextended(p_user_id::text || p_key_hash, 0));
  exception when lock_not_available then
    raise sqlstate 'PT425' using message = 'the idempotency key is in use';
  end;
  select * into known from public.remembered_answers
   where user_id = p_user_id and key_hash = p_key_hash and at > now() - interval '24 hours';
  if known.request_hash <> p_request_hash then
    raise sqlstate 'PT422' using message = 'the idempotency key was used for another request';
  end if;
  return known.answer;
end $$;

-- Removes the oldest of what is older than a repetition may be: so many that it takes no time which the write around it
-- would feel, and more than a write adds. Rows that another transaction is removing are left to it.
create or replace function public.forget_answers() returns void
language sql volatile security invoker set search_path = '' as $$
  delete from public.remembered_answers
   where (user_id, key_hash) in (select user_id, key_hash from public.remembered_answers
                                  where at <= now() - interval '24 hours' order by at limit 1000 for update skip locked)
$$;

create or replace function public.remember_answer(p_user_id uuid, p_key_hash text, p_request_hash text, p_answer text)
returns void
language sql volatile security invoker set search_path = '' as $$
  insert into public.remembered_answers (user_id, key_hash, request_hash, answer)
  values (p_user_id, p_key_hash, p_request_hash, p_answer)
  on conflict (user_id, key_hash) do update
    set request_hash = excluded.request_hash, answer = excluded.answer, at = excluded.at;
  select public.forget_answers()
$$;

-- `set_routing_preference`, once: `{"answer", "replayed", "tenant"}`, the tenant as it is now; null where there is none. In `p_answer`, JSON,
-- "@settings_version" and "@updated_at" stand for what only the change brings about.
create or replace function public.set_routing_preference_once(
  p_user_id uuid, p_preference text, p_actor text, p_expected_version bigint, p_key_hash text, p_request_hash text,
  p_answer text
) returns json
language plpgsql volatile security invoker set search_path = '' as $$
declare
  answer text := public.recall_answer(p_user_id, p_key_hash, p_request_hash);
  tenant public.users;
begin
  if answer is not null then
    select * into tenant from public.users where id = p_user_id;
    return json_build_object('answer', answer, 'replayed', true, 'tenant', row_to_json(tenant));
  end if;
  select * into tenant
    from public.set_routing_preference(p_user_id, p_preference, p_actor, p_expected_version);
  if not found then
    return null;
  end if;
  answer := replace(p_answer, '"@settings_version"', tenant.settings_version::text);
  answer := replace(answer, '"@updated_at"',
                    to_json(to_char(tenant.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'))::text);
  perform public.remember_answer(p_user_id, p_key_hash, p_request_hash, answer);
  return json_build_object('answer', answer, 'replayed', false, 'tenant', row_to_json(tenant));
end $$;

-- `add_feedback`, once: `{"answer", "replayed"}`, null where the decision has another grade already.
create or replace function public.add_feedback_once(
  p_user_id uuid, p_decision_id uuid, p_score double precision, p_key_hash text, p_request_hash text, p_answer text
) returns json
language plpgsql volatile security invoker set search_path = '' as $$
declare
  answer text := public.recall_answer(p_user_id, p_key_hash, p_request_hash);
begin
  if answer is not null then
    return json_build_object('answer', answer, 'replayed', true);
  end if;
  if not public.add_feedback(p_user_id, p_decision_id, p_score) then
    return null;
  end if;
  perform public.remember_answer(p_user_id, p_key_hash, p_request_hash, p_answer);
  return json_build_object('answer', p_answer, 'replayed', false);
end $$;

-- Removes a tenant's generated decisions; how many there were. SECURITY DEFINER: nobody, the router neither, may remove
-- what is in the log but by this function, which leaves real traffic alone.
create or replace function public.remove_demo_decisions(p_user_id uuid) returns bigint
language sql volatile security definer set search_path = '' as $$
  with removed as (delete from public.decisions where user_id = p_user_id and demo returning 1),
       no_longer_spent as (delete from public.spend where user_id = p_user_id and basis = 'demo')
  select count(*) from removed
$$;

-- What decisions have cost since a day (UTC): of a tenant, or of each where none is named.
create or replace function public.daily_spend(p_user_id uuid, p_since date) returns json
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select coalesce(json_agg(s), '[]') from (
      select user_id as tenant_id, day, basis, sum(cost_usd) as cost_usd from public.spend
       where day >= p_since and (p_user_id is null or user_id = p_user_id)
       group by user_id, day, basis order by user_id, day, basis) s);
end $$;

-- What the decisions of all other workers have cost in the month that begins on a day: by tenant that has a budget, and by
-- provider, that of one day apart, too. Generated decisions were made by none of them.
create or replace function public.spend_elsewhere(p_month date, p_today date, p_worker text) returns json
language sql stable security invoker set search_path = '' as $$
  with counted as materialized (
    select user_id, day, provider, basis, sum(cost_usd) as usd from public.spend
     where day >= p_month and day < p_month + interval '1 month' and (worker <> p_worker or basis = 'demo')
     group by user_id, day, provider, basis)
  select json_build_object(
    'tenants', (select coalesce(json_agg(t), '[]')
                  from (select c.user_id as tenant_id, c.basis, sum(c.usd) as month_usd
                          from counted c join public.users u on u.id = c.user_id and u.budget_usd is not null
                         group by c.user_id, c.basis) t),
    'providers', (select coalesce(json_agg(p), '[]')
                    from (select provider, basis, sum(usd) as month_usd,
                                 coalesce(sum(usd) filter (where day = p_today), 0) as day_usd
                            from counted group by provider, basis) p))
$$;

-- How many requests these endpoints answered within a time, and the tokens that their answers took: what their providers
-- will have counted against the day's quota. Generated decisions asked nobody.
create or replace function public.quota_used(p_endpoints text[], p_since timestamptz, p_until timestamptz) returns json
language sql stable security invoker set search_path = '' as $$
  select coalesce(json_agg(u), '[]') from (
    select a ->> 'endpoint' as endpoint, count(*) as requests,
           coalesce(sum(d.input_tokens + d.output_tokens) filter (where a ->> 'endpoint' = d.endpoint), 0) as tokens
      from public.decisions d, jsonb_array_elements(d.attempts) a
     where d.created_at >= p_since and d.created_at < p_until and not d.demo
       and a ->> 'endpoint' = any (p_endpoints) and a ->> 'status' is not null
     group by 1) u
$$;

-- The newest decisions since a moment, before one of them where its time and id are given; of all tenants where none is
-- named. Planned anew for each call (here and below), as a tenant's own decisions have an index and everybody's another.
create or replace function public.list_decisions(
  p_user_id uuid, p_since timestamptz, p_before timestamptz, p_before_id uuid, p_limit int
) returns json
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select coalesce(json_agg(d), '[]') from (
      select * from public.decisions
       where created_at >= p_since and (p_user_id is null or user_id = p_user_id)
         and (p_before is null or (created_at, id) < (p_before, p_before_id))
       order by created_at desc, id desc limit p_limit) d);
end $$;

-- The same, of each only what a replay needs.
create or replace function public.list_recorded_requests(
  p_user_id uuid, p_since timestamptz, p_before timestamptz, p_before_id uuid, p_limit int
) returns json
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select coalesce(json_agg(d), '[]') from (
      select user_id, created_at, id, profile, model, preference, preference_level, demo from public.decisions
       where created_at >= p_since and (p_user_id is null or user_id = p_user_id)
         and (p_before is null or (created_at, id) < (p_before, p_before_id))
       order by created_at desc, id desc limit p_limit) d);
end $$;

-- The newest decisions as a list shows them; what is null leaves its column open.
create or replace function public.list_decision_lines(
  p_user_id uuid, p_since timestamptz, p_until timestamptz, p_endpoint text, p_family text, p_failed boolean,
  p_failed_over boolean, p_limit int
) returns json
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select coalesce(json_agg(d), '[]') from (
      select id, user_id as tenant_id, created_at, model, profile ->> 'family' as family, preference, endpoint, status,
             jsonb_array_length(attempts) as attempts, first_token_s, duration_s, input_tokens, output_tokens, cost_usd,
             basis, demo
        from public.decisions
       where created_at >= p_since and (p_user_id is null or user_id = p_user_id)
         and (p_until is null or created_at < p_until) and (p_endpoint is null or endpoint = p_endpoint)
         and (p_family is null or profile ->> 'family' = p_family)
         and (p_failed is null or (status >= 400) = p_failed)
         and (p_failed_over is null or (jsonb_array_length(attempts) > 1) = p_failed_over)
       order by created_at desc, id desc limit p_limit) d);
end $$;

-- Replaces what this worker published; what is left of workers that are gone for an hour goes.
create or replace function public.publish_snapshot(p_worker text, p_id text, p_created_at timestamptz, p_payload bytea)
returns void
language sql volatile security invoker set search_path = '' as $$
  insert into public.published_snapshots (worker, id, created_at, payload)
  values (p_worker, p_id, p_created_at, p_payload)
  on conflict (worker) do update
    set id = excluded.id, created_at = excluded.created_at, payload = excluded.payload;
  delete from public.published_snapshots where worker <> p_worker and created_at < p_created_at - interval '1 hour'
$$;

-- Sums over the decisions of a tenant, or of all where none is named. Row level security decides what a tenant sees of it.
create or replace function public.decision_traffic(p_since timestamptz, p_until timestamptz, p_user_id uuid default null)
returns table (requests bigint, demo bigint, failed bigint, failed_over bigint, input_tokens bigint, output_tokens bigint,
               cost_usd double precision, latency_p50_s double precision, latency_p95_s double precision, simulated bigint)
language sql stable security invoker set search_path = '' as $$
  select count(*), count(*) filter (where d.demo), count(*) filter (where d.status >= 400),
         count(*) filter (where jsonb_array_length(d.attempts) > 1), coalesce(sum(d.input_tokens), 0)::bigint,
         coalesce(sum(d.output_tokens), 0)::bigint, coalesce(sum(d.cost_usd), 0),
         percentile_cont(0.5) within group (order by d.duration_s) filter (where d.status < 400),
         percentile_cont(0.95) within group (order by d.duration_s) filter (where d.status < 400),
         count(*) filter (where d.basis = 'simulated')
    from public.decisions d
   where d.created_at >= p_since and d.created_at < p_until and (p_user_id is null or d.user_id = p_user_id)
$$;

-- The same for each tenant that had any.
create or replace function public.list_traffic_by_tenant(p_since timestamptz, p_until timestamptz) returns json
language sql stable security invoker set search_path = '' as $$
  select coalesce(json_agg(t), '[]') from (
    select d.user_id, traffic.*
      from (select distinct user_id from public.decisions where created_at >= p_since and created_at < p_until) d
     cross join lateral public.decision_traffic(p_since, p_until, d.user_id) traffic) t
$$;

-- Makes the daily partitions of the decision log from today (UTC) to `days_ahead` days on; returns the first day without one.
-- Rows of such a day that already lie in the default partition move into it. SECURITY DEFINER: only the owner may
-- create tables. A new table may be born with grants (Supabase's older defaults); nobody needs a partition directly.
create or replace function public.ensure_decision_partitions(days_ahead int default 3) returns date
language plpgsql security definer set search_path = '' set timezone = 'UTC' set lock_timeout = '500ms' as $$
declare
  today constant date := now()::date;
  first_day timestamptz;
  next_day timestamptz;
  part text;
begin
  perform pg_advisory_xact_lock(hashtext('freerelay.schema'));
  for day in 0..least(days_ahead, 31) loop
    first_day := (today + day)::timestamptz;
    next_day := (today + day + 1)::timestamptz;
    part := 'decisions_' || to_char(first_day, 'YYYYMMDD');
    continue when to_regclass('public.' || part) is not null;
    -- A row of this day that came in between the move and the attachment would make the latter fail.
    lock table public.decisions_default in access exclusive mode;
    execute format('create table public.%I (like public.decisions including defaults including constraints)', part);
    execute format('with moved as (delete from public.decisions_default where created_at >= %L and created_at < %L returning *) '
                   'insert into public.%I select * from moved', first_day, next_day, part);
    execute format('alter table public.decisions attach partition public.%I for values from (%L) to (%L)',
                   part, first_day, next_day);
    execute format('alter table public.%I enable row level security', part);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', part);
  end loop;
  return today + least(days_ahead, 31) + 1;
end $$;

-- Drops the daily partitions of the decision log whose day ended more than `p_keep_days` days before today (UTC) began, and
-- the grades of their decisions: ids begin with their time. Only tables attached to `decisions` are looked at. Returns how
-- many partitions there were. SECURITY DEFINER, as above.
create or replace function public.drop_old_decisions(p_keep_days int) returns int
language plpgsql security definer set search_path = '' set timezone = 'UTC' set lock_timeout = '500ms' as $$
declare
  kept_from constant timestamptz := (now()::date - greatest(p_keep_days, 1))::timestamptz;
  part text;
  dropped int := 0;
begin
  perform pg_advisory_xact_lock(hashtext('freerelay.schema'));
  for part in
    select c.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'public.decisions'::regclass and c.relname ~ '^decisions_\d{8}$'
       and to_date(right(c.relname, 8), 'YYYYMMDD') < kept_from::date
     order by c.relname
  loop
    execute format('drop table public.%I', part);
    dropped := dropped + 1;
  end loop;
  delete from public.decisions_default where created_at < kept_from;
  delete from public.feedback
   where decision_id < (lpad(to_hex((extract(epoch from kept_from) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
  return dropped;
end $$;

select public.ensure_decision_partitions();

-- 8. Privileges and policies -------------------------------------------------------------------------------------------

do $$
declare
  r record;
begin
  for r in
    select c.relname, c.relkind, c.relrowsecurity from pg_catalog.pg_class c
     where c.oid in ('public.users'::regclass, 'public.api_keys'::regclass, 'public.dashboard_sessions'::regclass,
                     'public.settings_audit'::regclass, 'public.settings_audit_id_seq'::regclass,
                     'public.published_snapshots'::regclass, 'public.decisions'::regclass, 'public.scenarios'::regclass,
                     'public.changes'::regclass, 'public.changes_id_seq'::regclass, 'public.lessons'::regclass,
                     'public.feedback'::regclass, 'public.remembered_answers'::regclass, 'public.spend'::regclass)
        or c.oid in (select inhrelid from pg_catalog.pg_inherits where inhparent = 'public.decisions'::regclass)
  loop
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', r.relname);
    if r.relkind <> 'S' and not r.relrowsecurity then
      execute format('alter table public.%I enable row level security', r.relname);
    end if;
  end loop;
end $$;

revoke all on function
  public.schema_version(), public.auth_context(text), public.find_tenant(text), public.list_tenants(),
  public.update_tenant(uuid, text, text, boolean), public.set_budget(uuid, text, double precision),
  public.set_routing_preference(uuid, text, text, bigint),
  public.touch_api_keys(json), public.dashboard_session(text), public.end_dashboard_session(text),
  public.open_dashboard_session(text, text, uuid, uuid, timestamptz), public.changes_since(text),
  public.append_decisions(text, text), public.remove_demo_decisions(uuid),
  public.list_decisions(uuid, timestamptz, timestamptz, uuid, int),
  public.list_recorded_requests(uuid, timestamptz, timestamptz, uuid, int),
  public.list_decision_lines(uuid, timestamptz, timestamptz, text, text, boolean, boolean, int),
  public.decision_traffic(timestamptz, timestamptz, uuid),
  public.list_traffic_by_tenant(timestamptz, timestamptz), public.publish_snapshot(text, text, timestamptz, bytea),
  public.list_lessons(timestamptz), public.add_lessons(json), public.add_feedback(uuid, uuid, double precision),
  public.recall_answer(uuid, text, text), public.remember_answer(uuid, text, text, text), public.forget_answers(),
  public.set_routing_preference_once(uuid, text, text, bigint, text, text, text),
  public.add_feedback_once(uuid, uuid, double precision, text, text, text),
  public.daily_spend(uuid, date), public.spend_elsewhere(date, date, text),
  public.quota_used(text[], timestamptz, timestamptz),
  public.ensure_decision_partitions(int), public.drop_old_decisions(int), public.users_before_update(), public.users_after_update(),
  public.api_keys_after_change(), public.changes_after_insert(), public.decisions_after_insert()
  from public, anon, authenticated, service_role;
grant execute on function
  public.schema_version(), public.auth_context(text), public.find_tenant(text), public.list_tenants(),
  public.update_tenant(uuid, text, text, boolean), public.set_budget(uuid, text, double precision),
  public.set_routing_preference(uuid, text, text, bigint),
  public.touch_api_keys(json), public.dashboard_session(text), public.end_dashboard_session(text),
  public.open_dashboard_session(text, text, uuid, uuid, timestamptz), public.changes_since(text),
  public.append_decisions(text, text), public.remove_demo_decisions(uuid),
  public.list_decisions(uuid, timestamptz, timestamptz, uuid, int),
  public.list_recorded_requests(uuid, timestamptz, timestamptz, uuid, int),
  public.list_decision_lines(uuid, timestamptz, timestamptz, text, text, boolean, boolean, int),
  public.list_traffic_by_tenant(timestamptz, timestamptz), public.publish_snapshot(text, text, timestamptz, bytea),
  public.list_lessons(timestamptz), public.add_lessons(json), public.add_feedback(uuid, uuid, double precision),
  public.recall_answer(uuid, text, text), public.remember_answer(uuid, text, text, text), public.forget_answers(),
  public.set_routing_preference_once(uuid, text, text, bigint, text, text, text),
  public.add_feedback_once(uuid, uuid, double precision, text, text, text),
  public.daily_spend(uuid, date), public.spend_elsewhere(date, date, text),
  public.quota_used(text[], timestamptz, timestamptz),
  public.ensure_decision_partitions(int), public.drop_old_decisions(int) to service_role;
grant execute on function public.decision_traffic(timestamptz, timestamptz, uuid) to authenticated, service_role;
grant usage on schema public to authenticated, service_role;

grant select (id, email, tier, routing_preference, allow_override, budget_usd, settings_version, created_at, updated_at),
      update (routing_preference) on public.users to authenticated;
grant select (id, user_id, name, prefix, created_at, last_used_at, expires_at, revoked_at) on public.api_keys to authenticated;
grant select (id, user_id, field, old_value, new_value, actor, at) on public.settings_audit to authenticated;
grant select (created_at, id, user_id, request_id, model, snapshot_id, preference, preference_level, preference_rule,
              endpoint, status, basis, first_token_s, duration_s, input_tokens, output_tokens, cached_tokens, cost_usd,
              usage_estimated, schema_pass, profile, exponents, log_factors, ranking, figures, excluded, rules, actions, attempts,
              demo, propensity, explored)
  on public.decisions to authenticated;
grant select (user_id, day, provider, basis, cost_usd) on public.spend to authenticated;

grant select, insert (email, tier, allow_override), update (routing_preference, tier, allow_override, budget_usd)
  on public.users to service_role;
grant select, insert (user_id, name, prefix, key_hash, expires_at), update (name, last_used_at, expires_at, revoked_at)
  on public.api_keys to service_role;
grant select, insert, delete on public.dashboard_sessions to service_role;
grant select on public.settings_audit, public.changes to service_role;
grant select, insert on public.decisions to service_role;
grant select, insert, update on public.lessons to service_role;
grant select, insert on public.feedback to service_role;
grant select, insert, update, delete on public.remembered_answers to service_role;
grant select on public.spend to service_role;
grant select, insert, update, delete on public.scenarios to service_role;
grant select, insert, update, delete on public.published_snapshots to service_role;

create policy users_read_own on public.users for select to authenticated using (id = (select auth.uid()));
create policy users_update_own on public.users for update to authenticated
  using (id = (select auth.uid())) with check (id = (select auth.uid()));
create policy api_keys_read_own on public.api_keys for select to authenticated using (user_id = (select auth.uid()));
create policy settings_audit_read_own on public.settings_audit for select to authenticated
  using (user_id = (select auth.uid()));
create policy decisions_read_own on public.decisions for select to authenticated using (user_id = (select auth.uid()));
create policy spend_read_own on public.spend for select to authenticated using (user_id = (select auth.uid()));

-- On Supabase `service_role` bypasses row level security; elsewhere these policies spare a role with that right.
create policy users_service on public.users to service_role using (true) with check (true);
create policy api_keys_service on public.api_keys to service_role using (true) with check (true);
create policy dashboard_sessions_service on public.dashboard_sessions to service_role using (true) with check (true);
create policy settings_audit_service on public.settings_audit to service_role using (true) with check (true);
create policy decisions_service on public.decisions to service_role using (true) with check (true);
create policy scenarios_service on public.scenarios to service_role using (true) with check (true);
create policy published_snapshots_service on public.published_snapshots to service_role using (true) with check (true);
create policy lessons_service on public.lessons to service_role using (true) with check (true);
create policy feedback_service on public.feedback to service_role using (true) with check (true);
create policy remembered_answers_service on public.remembered_answers to service_role using (true) with check (true);
create policy spend_service on public.spend to service_role using (true);
create policy changes_service on public.changes to service_role using (true) with check (true);

-- A running PostgREST learns of the functions; anywhere else nobody listens.
notify pgrst, 'reload schema';

commit;
