import '@mantine/core/styles/PasswordInput.layer.css';
import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRouter, useSearch } from '@tanstack/react-router';
import { useEffect, type SubmitEvent } from 'react';
import { keys, signIn } from '~/api/queries';
import { ErrorNotice } from '~/components/ErrorNotice';
import styles from './SignInPage.module.css';

function textIn(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

/** Only addresses of our own pages: a link must not lead elsewhere after signing in. */
function ownAddress(next: string | undefined): string {
  return next !== undefined && /^\/(?![/\\])/.test(next) ? next : '/';
}

export function SignInPage() {
  const { next } = useSearch({ from: '/signin' });
  const router = useRouter();
  const client = useQueryClient();
  useEffect(() => {
    document.title = 'Sign in · Trunkline';
  }, []);
  const entry = useMutation({
    mutationFn: (form: FormData) => signIn(textIn(form, 'username'), textIn(form, 'password')),
    onSuccess: (session) => {
      client.setQueryData(keys.session, session);
      router.history.replace(ownAddress(next));
    },
  });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    entry.mutate(new FormData(event.currentTarget));
  };
  return (
    <main className={styles.page}>
      <form className={styles.form} onSubmit={submit} aria-labelledby="signin-title">
        <h1 id="signin-title">Sign in to Trunkline</h1>
        <TextInput name="username" label="User name" autoComplete="username" defaultValue="admin" required withAsterisk={false} />
        <PasswordInput name="password" label="Password" autoComplete="current-password" required withAsterisk={false} autoFocus />
        {entry.error && <ErrorNotice error={entry.error} />}
        <Button type="submit" loading={entry.isPending}>
          Sign in
        </Button>
        <p className={styles.hint}>
          First time here? The first administrator is <code>admin</code>; the password was shown once, in the terminal where <code>trunkline up</code>
          first started this site. Lost it? <code>trunkline users reset-password site.yaml</code> makes a new one.
        </p>
      </form>
    </main>
  );
}
