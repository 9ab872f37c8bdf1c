-- What Supabase has and `supabase_schema.sql` relies on, for any other PostgreSQL: three roles and `auth.uid()`.
--
-- Applied only where something of it is missing, so never on Supabase. Nothing is granted by default here (as on
-- Supabase since 2026); the schema grants what is needed.

begin;
set local lock_timeout = '2s';
set local statement_timeout = '1min';
select pg_advisory_xact_lock(hashtext('freerelay.schema'));
set local client_min_messages = warning;

do $$
declare
  name text;
  -- Since version 16 who creates a role is its member, but may not take it before it is granted for that.
  may constant text := case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end;
begin
  foreach name in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin noinherit', name);
      exception when duplicate_object or unique_violation then
        -- Roles belong to the whole server: another database's FreeRelay was quicker.
        null;
      end;
    end if;
    if not pg_has_role(current_user, name, may) then
      execute format('grant %I to %I', name, current_user);
    end if;
  end loop;
  -- Asked first: IF NOT EXISTS would demand the right to create a schema that an administrator has made already.
  if to_regnamespace('auth') is null then
    create schema auth;
  end if;
end $$;

grant usage on schema auth to anon, authenticated, service_role;

-- The tenant of this transaction, from its claims; the same meaning as Supabase's own.
create or replace function auth.uid() returns uuid language sql stable set search_path = '' as $$
  select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                  nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
grant execute on function auth.uid() to anon, authenticated, service_role;

commit;
