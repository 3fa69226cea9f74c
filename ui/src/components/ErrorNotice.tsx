import { Button } from '@mantine/core';
import { useState } from 'react';
import { ApiProblem } from '~/api/http';
import { Priority } from './Priority';
import styles from './ErrorNotice.module.css';

function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new ApiProblem({ code: 'PAGE_ERROR', title: 'The page failed', detail, mend: 'Reload the page; if it stays, report the details.' }, 0, location.pathname);
}

/** An error with its code, a sentence, the mend, and a way to hand on the details. */
export function ErrorNotice({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = asProblem(error);
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(problem.details()).then(() => setCopied(true));
  };
  return (
    <div className={styles.notice} role="alert">
      <Priority level="high" bare />
      <div className={styles.body}>
        <strong>{problem.title}</strong>
        <span>{problem.detail}</span>
        {problem.mend !== '' && <span className="dim">{problem.mend}</span>}
        <code className="dim">{problem.code}</code>
      </div>
      <div className={styles.actions}>
        {retry && (
          <Button size="compact-sm" variant="default" onClick={retry}>
            Try again
          </Button>
        )}
        <Button size="compact-sm" variant="default" onClick={copy}>
          {copied ? 'Copied' : 'Copy details'}
        </Button>
      </div>
    </div>
  );
}
