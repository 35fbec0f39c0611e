"""A person's yes or no before the alias moves, under Airflow's Required Actions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param

from dags.context import settings_of
from ml.pipeline.run_key import run_key

if TYPE_CHECKING:
    from ml.origin import Origin


class Approval(ApprovalOperator):
    """Asks about a challenger that the gate would promote; passes one that the gate refused.

    A yes is handed on, with the person's name, to `promote`. A no is written in the ledger, and `promote` is skipped:
    the version stays registered.
    """

    def __init__(self, **more: Any) -> None:
        reason = Param(
            None, source="task", type=["null", "string"], maxLength=2_000, title="Reason",
            description="Kept in the ledger.",
        )  # fmt: skip
        more["params"] = {"reason": reason}  # alone: the run's own form is not asked for again
        super().__init__(
            subject="Promote version {{ ti.xcom_pull(task_ids='register')['version'] }}?",
            body="{{ ti.xcom_pull(task_ids='evaluate')['sentence'] }}\n\n"
            "[The version in MLflow]({{ ti.xcom_pull(task_ids='register')['version_url'] }})",
            response_timeout=timedelta(days=7),
            **more,
        )

    def execute(self, context: Any) -> Any:
        """Wait for a person, unless there is nothing to decide."""
        if not context["ti"].xcom_pull(task_ids="register")["promote"]:
            self.log.info("The gate refused it: nobody is asked.")
            return None
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on with what the person said.

        A No is written down first: Airflow leaves by an exception that skips what follows.
        """
        if event.get("chosen_options") == [self.REJECT]:
            from ml.pipeline import pipeline

            pipeline.decline(settings_of(), run_key(context["run_id"]), origin=person(event))
        return super().execute_complete(context, event)


def person(said: dict[str, Any] | None) -> Origin:
    """Who decided and with what reason, from Airflow's event or what `Approval` returned; "" where nobody was asked.

    >>> decided = person({"responded_by_user": {"id": "1", "name": "vi"}, "params_input": {"reason": "looks right"}})
    >>> decided.who, decided.reason
    ('vi', 'looks right')
    >>> person(None).who
    ''
    """
    from ml.origin import Origin

    user, given = (said or {}).get("responded_by_user") or {}, (said or {}).get("params_input") or {}
    return Origin(who=str(user.get("name") or user.get("id") or ""), reason=str(given.get("reason") or ""))
