# SPDX-License-Identifier: Apache-2.0
"""create tables"""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    #
    op.create_table('accounts',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('eps_enabled', sa.Boolean(), nullable=False),
    sa.Column('iam_version', sa.BigInteger(), nullable=False),
    sa.Column('is_first', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts')),
    sa.UniqueConstraint('name', name=op.f('uq_accounts_name'))
    )
    op.create_table('audit_records',
    sa.Column('id', sa.String(length=26), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=True),
    sa.Column('principal_id', sa.String(length=32), nullable=True),
    sa.Column('operation', sa.String(length=64), nullable=False),
    sa.Column('decision', sa.String(length=16), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('record', sa.Text(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=True),
    sa.Column('prev', sa.String(length=64), nullable=True),
    sa.Column('hash', sa.String(length=64), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_records'))
    )
    with op.batch_alter_table('audit_records', schema=None) as batch_op:
        batch_op.create_index('ix_audit_records_account_id_at', ['account_id', 'at'], unique=False)
        batch_op.create_index('ix_audit_records_seq', ['seq'], unique=False)

    op.create_table('blobs',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('md5', sa.String(length=32), nullable=False),
    sa.Column('sha512', sa.String(length=128), nullable=False),
    sa.Column('refs', sa.Integer(), nullable=False),
    sa.Column('inspector', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('scrubbed_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_blobs'))
    )
    with op.batch_alter_table('blobs', schema=None) as batch_op:
        batch_op.create_index('ix_blobs_refs', ['refs'], unique=False)

    op.create_table('buckets',
    sa.Column('name', sa.String(length=63), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('attached', sa.String(length=8), nullable=False),
    sa.Column('credentials', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_buckets'))
    )
    with op.batch_alter_table('buckets', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_buckets_account_id'), ['account_id'], unique=False)

    op.create_table('executors',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('beat_at', sa.BigInteger(), nullable=False),
    sa.Column('started_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_executors'))
    )
    op.create_table('images',
    sa.Column('id', sa.String(length=36).with_variant(sa.String(length=36, collation='C'), 'postgresql'), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('enterprise_project_id', sa.String(length=36), nullable=False),
    sa.Column('origin', sa.String(length=8), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('name_sort', sa.String(length=255).with_variant(sa.String(length=255, collation='C'), 'postgresql'), nullable=False),
    sa.Column('status', sa.String(length=16).with_variant(sa.String(length=16, collation='C'), 'postgresql'), nullable=False),
    sa.Column('visibility', sa.String(length=16), nullable=False),
    sa.Column('turned_shared', sa.Boolean(), nullable=False),
    sa.Column('os_hidden', sa.Boolean(), nullable=False),
    sa.Column('protected', sa.Boolean(), nullable=False),
    sa.Column('container_format', sa.String(length=32).with_variant(sa.String(length=32, collation='C'), 'postgresql'), nullable=True),
    sa.Column('disk_format', sa.String(length=32).with_variant(sa.String(length=32, collation='C'), 'postgresql'), nullable=True),
    sa.Column('min_disk', sa.Integer(), nullable=False),
    sa.Column('min_ram', sa.Integer(), nullable=False),
    sa.Column('max_ram', sa.String(length=16), nullable=True),
    sa.Column('size', sa.BigInteger(), nullable=True),
    sa.Column('virtual_size', sa.BigInteger(), nullable=True),
    sa.Column('md5', sa.String(length=32), nullable=True),
    sa.Column('sha512', sa.String(length=128), nullable=True),
    sa.Column('env_type', sa.String(length=16), nullable=False),
    sa.Column('os_type', sa.String(length=16), nullable=False),
    sa.Column('os_version', sa.String(length=255).with_variant(sa.String(length=255, collation='C'), 'postgresql'), nullable=True),
    sa.Column('platform', sa.String(length=32), nullable=False),
    sa.Column('os_bit', sa.String(length=4), nullable=True),
    sa.Column('is_arm', sa.Boolean(), nullable=False),
    sa.Column('is_whole', sa.Boolean(), nullable=False),
    sa.Column('firmware', sa.String(length=255), nullable=True),
    sa.Column('cmk_id', sa.String(length=36), nullable=True),
    sa.Column('member_count', sa.Integer(), nullable=False),
    sa.Column('tags', sa.Text(), nullable=False),
    sa.Column('properties', sa.Text(), nullable=False),
    sa.Column('native_names', sa.Text(), nullable=False),
    sa.Column('service_properties', sa.Text(), nullable=False),
    sa.Column('blob_id', sa.String(length=36), nullable=True),
    sa.Column('stores', sa.String(length=1024), nullable=False),
    sa.Column('job_id', sa.String(length=40), nullable=True),
    sa.Column('broken_upload', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.Column('active_at', sa.BigInteger(), nullable=True),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_images'))
    )
    with op.batch_alter_table('images', schema=None) as batch_op:
        batch_op.create_index('ix_images_account_id_ep', ['account_id', 'enterprise_project_id'], unique=False)
        batch_op.create_index('ix_images_created_at', ['created_at', 'id'], unique=False)
        batch_op.create_index('ix_images_owner_created_at', ['owner', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_images_owner_ep', ['owner', 'enterprise_project_id', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_images_owner_id', ['owner', 'id'], unique=False)
        batch_op.create_index('ix_images_owner_name_sort', ['owner', 'name_sort', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_images_owner_status', ['owner', 'status', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_images_owner_updated_at', ['owner', 'updated_at', 'id'], unique=False)
        batch_op.create_index('ix_images_status', ['status', 'ended_at'], unique=False)
        batch_op.create_index('ix_images_visibility_created_at', ['visibility', 'created_at', 'id'], unique=False)

    op.create_table('jobs',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('flow', sa.String(length=40), nullable=False),
    sa.Column('variant', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('parent_id', sa.String(length=32), nullable=True),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('project_id', sa.String(length=32), nullable=False),
    sa.Column('enterprise_project_id', sa.String(length=36), nullable=True),
    sa.Column('submitter_id', sa.String(length=32), nullable=False),
    sa.Column('image_id', sa.String(length=36), nullable=True),
    sa.Column('image_name', sa.String(length=255), nullable=True),
    sa.Column('object', sa.Text(), nullable=True),
    sa.Column('status', sa.String(length=8), nullable=False),
    sa.Column('step', sa.String(length=16), nullable=False),
    sa.Column('percent', sa.Float(), nullable=False),
    sa.Column('request', sa.Text(), nullable=False),
    sa.Column('caller', sa.Text(), nullable=False),
    sa.Column('result', sa.Text(), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('rule', sa.String(length=64), nullable=True),
    sa.Column('runs', sa.Integer(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('deaths', sa.Integer(), nullable=False),
    sa.Column('attempt_token', sa.String(length=40), nullable=True),
    sa.Column('dispatched', sa.Boolean(), nullable=False),
    sa.Column('cancel', sa.Boolean(), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('started_at', sa.BigInteger(), nullable=True),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs'))
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index('ix_jobs_image_id', ['image_id'], unique=False)
        batch_op.create_index('ix_jobs_parent_id', ['parent_id', 'position'], unique=False)
        batch_op.create_index('ix_jobs_project_id_created_at', ['project_id', 'created_at', 'id'], unique=False)
        batch_op.create_index('ix_jobs_status', ['status', 'dispatched', 'created_at'], unique=False)

    op.create_table('leases',
    sa.Column('place', sa.String(length=80), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('holder', sa.String(length=64), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('place', 'name', name=op.f('pk_leases'))
    )
    with op.batch_alter_table('leases', schema=None) as batch_op:
        batch_op.create_index('ix_leases_expires_at', ['expires_at'], unique=False)
        batch_op.create_index('ix_leases_holder', ['holder'], unique=False)

    op.create_table('login_failures',
    sa.Column('user_id', sa.String(length=32), nullable=False),
    sa.Column('source', sa.String(length=64), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('since', sa.BigInteger(), nullable=False),
    sa.Column('locked_until', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('user_id', 'source', name=op.f('pk_login_failures'))
    )
    op.create_table('operator_tokens',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('sha256', name=op.f('pk_operator_tokens'))
    )
    op.create_table('poisoned',
    sa.Column('sha512', sa.String(length=128), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('sha512', name=op.f('pk_poisoned'))
    )
    with op.batch_alter_table('poisoned', schema=None) as batch_op:
        batch_op.create_index('ix_poisoned_size', ['size'], unique=False)

    op.create_table('project_usage',
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('images', sa.Integer(), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('staged_bytes', sa.BigInteger(), nullable=False),
    sa.Column('uploads', sa.Integer(), nullable=False),
    sa.Column('image_limit', sa.Integer(), nullable=True),
    sa.Column('byte_limit', sa.BigInteger(), nullable=True),
    sa.Column('staged_limit', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('project_id', name=op.f('pk_project_usage'))
    )
    op.create_table('tokens',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('user_id', sa.String(length=32), nullable=True),
    sa.Column('agency_id', sa.String(length=32), nullable=True),
    sa.Column('assumed_by', sa.String(length=32), nullable=True),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('project_id', sa.String(length=32), nullable=True),
    sa.Column('methods', sa.String(length=64), nullable=False),
    sa.Column('issued_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('mfa_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('sha256', name=op.f('pk_tokens'))
    )
    with op.batch_alter_table('tokens', schema=None) as batch_op:
        batch_op.create_index('ix_tokens_expires_at', ['expires_at'], unique=False)
        batch_op.create_index('ix_tokens_user_id', ['user_id'], unique=False)

    op.create_table('used_image_ids',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('deleted_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_used_image_ids'))
    )
    op.create_table('access_keys',
    sa.Column('access', sa.String(length=40), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('user_id', sa.String(length=32), nullable=True),
    sa.Column('agency_id', sa.String(length=32), nullable=True),
    sa.Column('assumed_by', sa.String(length=32), nullable=True),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('security_token', sa.String(length=64), nullable=True),
    sa.Column('session_policy', sa.Text(), nullable=True),
    sa.Column('expires_at', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_access_keys_account_id')),
    sa.PrimaryKeyConstraint('access', name=op.f('pk_access_keys'))
    )
    with op.batch_alter_table('access_keys', schema=None) as batch_op:
        batch_op.create_index('ix_access_keys_user_id', ['user_id'], unique=False)

    op.create_table('agencies',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('trust_account_id', sa.String(length=32), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('duration', sa.String(length=16), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_agencies_account_id')),
    sa.ForeignKeyConstraint(['trust_account_id'], ['accounts.id'], name=op.f('fk_agencies_trust_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agencies')),
    sa.UniqueConstraint('account_id', 'name', name=op.f('uq_agencies_account_id_name'))
    )
    op.create_table('blob_copies',
    sa.Column('blob_id', sa.String(length=36), nullable=False),
    sa.Column('store', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['blob_id'], ['blobs.id'], name=op.f('fk_blob_copies_blob_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('blob_id', 'store', name=op.f('pk_blob_copies'))
    )
    op.create_table('bucket_objects',
    sa.Column('bucket', sa.String(length=63), nullable=False),
    sa.Column('key', sa.String(length=1024), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('etag', sa.String(length=64), nullable=False),
    sa.Column('file', sa.String(length=200), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['bucket'], ['buckets.name'], name=op.f('fk_bucket_objects_bucket'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('bucket', 'key', name=op.f('pk_bucket_objects'))
    )
    op.create_table('enterprise_projects',
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('type', sa.String(length=8), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_enterprise_projects_account_id')),
    sa.PrimaryKeyConstraint('account_id', 'id', name=op.f('pk_enterprise_projects')),
    sa.UniqueConstraint('account_id', 'name', name=op.f('uq_enterprise_projects_account_id_name'))
    )
    op.create_table('grants',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('principal_kind', sa.String(length=8), nullable=False),
    sa.Column('principal_id', sa.String(length=32), nullable=False),
    sa.Column('policy_id', sa.String(length=32), nullable=False),
    sa.Column('scope', sa.String(length=20), nullable=False),
    sa.Column('scope_id', sa.String(length=36), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_grants_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_grants')),
    sa.UniqueConstraint('principal_kind', 'principal_id', 'policy_id', 'scope', 'scope_id', name=op.f('uq_grants_principal_kind_principal_id_policy_id_scope_scope_id'))
    )
    with op.batch_alter_table('grants', schema=None) as batch_op:
        batch_op.create_index('ix_grants_account_id', ['account_id'], unique=False)

    op.create_table('groups',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_groups_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_groups')),
    sa.UniqueConstraint('account_id', 'name', name=op.f('uq_groups_account_id_name'))
    )
    op.create_table('image_members',
    sa.Column('image_id', sa.String(length=36).with_variant(sa.String(length=36, collation='C'), 'postgresql'), nullable=False),
    sa.Column('member', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('image_created_at', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_members_image_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('image_id', 'member', name=op.f('pk_image_members'))
    )
    with op.batch_alter_table('image_members', schema=None) as batch_op:
        batch_op.create_index('ix_image_members_member_status', ['member', 'status', 'image_created_at', 'image_id'], unique=False)

    op.create_table('image_properties',
    sa.Column('image_id', sa.String(length=36).with_variant(sa.String(length=36, collation='C'), 'postgresql'), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('value_key', sa.String(length=128), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=False),
    sa.Column('image_created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_properties_image_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('image_id', 'name', name=op.f('pk_image_properties'))
    )
    with op.batch_alter_table('image_properties', schema=None) as batch_op:
        batch_op.create_index('ix_image_properties_owner_name', ['owner', 'name', 'value_key', 'image_created_at', 'image_id'], unique=False)

    op.create_table('image_tags',
    sa.Column('tag', sa.String(length=255), nullable=False),
    sa.Column('image_id', sa.String(length=36).with_variant(sa.String(length=36, collation='C'), 'postgresql'), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=False),
    sa.Column('image_created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_image_tags_image_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tag', 'image_id', name=op.f('pk_image_tags'))
    )
    with op.batch_alter_table('image_tags', schema=None) as batch_op:
        batch_op.create_index('ix_image_tags_image_id', ['image_id'], unique=False)
        batch_op.create_index('ix_image_tags_owner_tag', ['owner', 'tag', 'image_created_at', 'image_id'], unique=False)

    op.create_table('policies',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=False),
    sa.Column('type', sa.String(length=2), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_policies_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_policies')),
    sa.UniqueConstraint('account_id', 'display_name', name=op.f('uq_policies_account_id_display_name'))
    )
    op.create_table('projects',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_projects_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_projects')),
    sa.UniqueConstraint('account_id', 'name', name=op.f('uq_projects_account_id_name'))
    )
    op.create_table('users',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('account_id', sa.String(length=32), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('is_root', sa.Boolean(), nullable=False),
    sa.Column('password_hash', sa.Text(), nullable=True),
    sa.Column('password_expires_at', sa.BigInteger(), nullable=True),
    sa.Column('access_mode', sa.String(length=16), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('email', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_users_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_users')),
    sa.UniqueConstraint('account_id', 'name', name=op.f('uq_users_account_id_name'))
    )
    op.create_table('group_members',
    sa.Column('group_id', sa.String(length=32), nullable=False),
    sa.Column('user_id', sa.String(length=32), nullable=False),
    sa.ForeignKeyConstraint(['group_id'], ['groups.id'], name=op.f('fk_group_members_group_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_group_members_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('group_id', 'user_id', name=op.f('pk_group_members'))
    )
    with op.batch_alter_table('group_members', schema=None) as batch_op:
        batch_op.create_index('ix_group_members_user_id', ['user_id'], unique=False)

    #


def downgrade() -> None:
    #
    with op.batch_alter_table('group_members', schema=None) as batch_op:
        batch_op.drop_index('ix_group_members_user_id')

    op.drop_table('group_members')
    op.drop_table('users')
    op.drop_table('projects')
    op.drop_table('policies')
    with op.batch_alter_table('image_tags', schema=None) as batch_op:
        batch_op.drop_index('ix_image_tags_owner_tag')
        batch_op.drop_index('ix_image_tags_image_id')

    op.drop_table('image_tags')
    with op.batch_alter_table('image_properties', schema=None) as batch_op:
        batch_op.drop_index('ix_image_properties_owner_name')

    op.drop_table('image_properties')
    with op.batch_alter_table('image_members', schema=None) as batch_op:
        batch_op.drop_index('ix_image_members_member_status')

    op.drop_table('image_members')
    op.drop_table('groups')
    with op.batch_alter_table('grants', schema=None) as batch_op:
        batch_op.drop_index('ix_grants_account_id')

    op.drop_table('grants')
    op.drop_table('enterprise_projects')
    op.drop_table('bucket_objects')
    op.drop_table('blob_copies')
    op.drop_table('agencies')
    with op.batch_alter_table('access_keys', schema=None) as batch_op:
        batch_op.drop_index('ix_access_keys_user_id')

    op.drop_table('access_keys')
    op.drop_table('used_image_ids')
    with op.batch_alter_table('tokens', schema=None) as batch_op:
        batch_op.drop_index('ix_tokens_user_id')
        batch_op.drop_index('ix_tokens_expires_at')

    op.drop_table('tokens')
    op.drop_table('project_usage')
    with op.batch_alter_table('poisoned', schema=None) as batch_op:
        batch_op.drop_index('ix_poisoned_size')

    op.drop_table('poisoned')
    op.drop_table('operator_tokens')
    op.drop_table('login_failures')
    with op.batch_alter_table('leases', schema=None) as batch_op:
        batch_op.drop_index('ix_leases_holder')
        batch_op.drop_index('ix_leases_expires_at')

    op.drop_table('leases')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('ix_jobs_status')
        batch_op.drop_index('ix_jobs_project_id_created_at')
        batch_op.drop_index('ix_jobs_parent_id')
        batch_op.drop_index('ix_jobs_image_id')

    op.drop_table('jobs')
    with op.batch_alter_table('images', schema=None) as batch_op:
        batch_op.drop_index('ix_images_visibility_created_at')
        batch_op.drop_index('ix_images_status')
        batch_op.drop_index('ix_images_owner_updated_at')
        batch_op.drop_index('ix_images_owner_status')
        batch_op.drop_index('ix_images_owner_name_sort')
        batch_op.drop_index('ix_images_owner_id')
        batch_op.drop_index('ix_images_owner_ep')
        batch_op.drop_index('ix_images_owner_created_at')
        batch_op.drop_index('ix_images_created_at')
        batch_op.drop_index('ix_images_account_id_ep')

    op.drop_table('images')
    op.drop_table('executors')
    with op.batch_alter_table('buckets', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_buckets_account_id'))

    op.drop_table('buckets')
    with op.batch_alter_table('blobs', schema=None) as batch_op:
        batch_op.drop_index('ix_blobs_refs')

    op.drop_table('blobs')
    with op.batch_alter_table('audit_records', schema=None) as batch_op:
        batch_op.drop_index('ix_audit_records_seq')
        batch_op.drop_index('ix_audit_records_account_id_at')

    op.drop_table('audit_records')
    op.drop_table('accounts')
    #
